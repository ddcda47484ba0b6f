"""Imports sets of real data, runs the jobs over them by the binary's verbs, and judges what they wrote.

Called by `cargo xtask evaluate`. Nothing of Forebay's own code takes part in the judgement: truths come from the sets'
files, results from `forebay query`.
"""

import argparse
import shutil
import sys
from pathlib import Path

from sets import feeders, ims, mfpt, nab, outages, skab, turbofan, vic_elec
from forebay_site import Site
from table import markdown, rewrite

SETS = {
    "vic_elec": vic_elec.evaluate,
    "feeders": feeders.evaluate,
    "skab": skab.evaluate,
    "nab": nab.evaluate,
    "turbofan": turbofan.evaluate,
    "mfpt": mfpt.evaluate,
    "ims": ims.evaluate,
    "outages": outages.evaluate,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--binary", type=Path, required=True, help="forebay")
    parser.add_argument("--work", type=Path, required=True, help="folder for lakes; made, and removed at the end")
    parser.add_argument("--page", type=Path, help="page whose table is rewritten; only when every set was judged")
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(SETS)}; all unless given")
    args = parser.parse_args()
    unknown = [name for name in args.sets if name not in SETS]
    if unknown:
        parser.error(f"there is no set {unknown[0]!r}: {', '.join(SETS)} are known")
    chosen = args.sets or list(SETS)
    args.work.mkdir(parents=True, exist_ok=True)
    done = []
    for name in chosen:
        folder = args.work / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        sites = SiteMaker(folder, args.binary)
        print(f"{name} …", file=sys.stderr, flush=True)
        done.append(SETS[name](args.data, folder, sites))
        print(markdown(done[-1:]), flush=True)
    if args.page and len(done) == len(SETS):
        rewrite(args.page, done)
    shutil.rmtree(args.work)


class SiteMaker:
    """Makes sites in one folder."""

    def __init__(self, folder, binary):
        self.folder, self.binary = folder, binary

    def __call__(self, name, jobs, **options):
        return Site(self.folder / name, self.binary, jobs, **options)


if __name__ == "__main__":
    main()
