"""Reads `readings` with Spark alone: the Delta log and the keyring, no code of ours.

    python read_lake.py DATA_FOLDER JARS_FOLDER [DAY]

prints one JSON object: how many files and rows, the sum of values and of seqs, and with DAY (UTC) how many files Spark
opens for it, by the statistics in the log, and how many rows it finds there.
"""

import glob
import json
import sys

from pyspark.sql import SparkSession

FACTORY = "org.apache.parquet.crypto.keytools.PropertiesDrivenCryptoFactory"
KMS = "org.apache.parquet.crypto.keytools.mocks.InMemoryKMS"


def key_list(keyring):
    """As `InMemoryKMS` takes master keys: `name.vN:base64`."""
    with open(keyring) as file:
        keys = json.load(file)["keys"]
    return ", ".join(f"{name}.v{n}:{key}" for name, of in keys.items() for n, key in of["versions"].items())


def opened(rows):
    """How many rows a scan finds, and how many files it opens: the scan's own metric."""
    found = len(rows.collect())
    scan = rows._jdf.queryExecution().executedPlan().collectLeaves().apply(0)
    return found, scan.metrics().apply("numFiles").value()


def main():
    data, jars, *day = sys.argv[1:]
    builder = SparkSession.builder.master("local[1]")
    for key, value in {
        "spark.jars": ",".join(sorted(glob.glob(f"{jars}/*.jar"))),
        "spark.ui.enabled": "false",
        "spark.driver.memory": "1g",
        "spark.sql.session.timeZone": "UTC",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.adaptive.enabled": "false",
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.hadoop.parquet.crypto.factory.class": FACTORY,
        "spark.hadoop.parquet.encryption.kms.client.class": KMS,
        "spark.hadoop.parquet.encryption.key.list": key_list(f"{data}/keys/keyring.json"),
    }.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    readings = spark.read.format("delta").load(f"{data}/lake/readings")
    rows, values, seqs = readings.selectExpr("count(*)", "sum(value)", "sum(seq)").first()
    found = {"files": len(readings.inputFiles()), "rows": rows, "values": values, "seqs": seqs}
    if day:
        of_day = readings.where(f"event_time >= '{day[0]}' and event_time < timestamp'{day[0]}' + interval 1 day")
        found |= dict(zip(["day_rows", "day_files"], opened(of_day.select("value"))))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
