//! One tree: grown leaf by leaf, the split of the largest gain first.

use super::{Boosting, bins::Bins};
use crate::stored::Stored;

/// A split must lower the weighted sum of squares by more than this share of it.
const GAIN_SHARE_MIN: f64 = 1e-9;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Node {
    Leaf(f64),
    Split {
        column: usize,
        bin: u8,
        /// The largest number that goes to the lower side; a missing one goes there too.
        edge: f64,
        lower: usize,
        upper: usize,
    },
}

/// The nodes; the first is the root.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tree(Vec<Node>);

impl Stored for Node {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Leaf(value) => {
                0_u8.write(out);
                value.write(out);
            }
            Self::Split {
                column,
                bin,
                edge,
                lower,
                upper,
            } => {
                1_u8.write(out);
                column.write(out);
                bin.write(out);
                edge.write(out);
                lower.write(out);
                upper.write(out);
            }
        }
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        match u8::read(from)? {
            0 => f64::read(from).map(Self::Leaf),
            1 => Some(Self::Split {
                column: Stored::read(from)?,
                bin: Stored::read(from)?,
                edge: Stored::read(from)?,
                lower: Stored::read(from)?,
                upper: Stored::read(from)?,
            }),
            _ => None,
        }
    }
}

impl Stored for Tree {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        let nodes: Vec<Node> = Stored::read(from)?;
        // Nodes stand behind their parents, so that whoever follows them comes to a leaf.
        let leads_on = |(place, node): (usize, &Node)| match node {
            Node::Leaf(_) => true,
            Node::Split { lower, upper, .. } => {
                let behind = place + 1..nodes.len();
                behind.contains(lower) && behind.contains(upper)
            }
        };
        let is_whole = !nodes.is_empty() && nodes.iter().enumerate().all(leads_on);
        is_whole.then_some(Self(nodes))
    }
}

impl Tree {
    /// The fewest columns that a row must have.
    pub(super) fn columns_min(&self) -> usize {
        let column = |node: &Node| match node {
            Node::Leaf(_) => 0,
            Node::Split { column, .. } => column + 1,
        };
        self.0.iter().map(column).max().unwrap_or(0)
    }

    pub(super) fn value(&self, row: &[f64]) -> f64 {
        self.follow(|column, _, edge| row[column].is_nan() || row[column] <= edge)
    }

    pub(super) fn value_of_bins(&self, row: &[u8]) -> f64 {
        self.follow(|column, bin, _| row[column] <= bin)
    }

    fn follow(&self, is_lower: impl Fn(usize, u8, f64) -> bool) -> f64 {
        let mut at = 0;
        loop {
            match self.0[at] {
                Node::Leaf(value) => return value,
                Node::Split {
                    column,
                    bin,
                    edge,
                    lower,
                    upper,
                } => {
                    at = if is_lower(column, bin, edge) {
                        lower
                    } else {
                        upper
                    };
                }
            }
        }
    }
}

/// Sums over the rows of one bin.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    target: f64,
    weight: f64,
    rows: u32,
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.target += other.target;
        self.weight += other.weight;
        self.rows += other.rows;
    }

    fn without(self, other: Self) -> Self {
        Self {
            target: self.target - other.target,
            weight: self.weight - other.weight,
            rows: self.rows - other.rows,
        }
    }
}

struct Leaf {
    node: usize,
    rows: Vec<u32>,
    sums: Sums,
    histogram: Vec<Sums>,
    best: Option<Split>,
}

#[derive(Clone, Copy)]
struct Split {
    gain: f64,
    column: usize,
    bin: u8,
    lower: Sums,
}

pub(super) struct Grower<'a> {
    pub(super) settings: &'a Boosting,
    pub(super) bins: &'a Bins,
    /// What earlier trees have left.
    pub(super) targets: &'a [f64],
    pub(super) weights: &'a [f64],
    /// Those that may be split, ascending.
    pub(super) columns: &'a [usize],
}

impl Grower<'_> {
    /// A tree with at least one split, its leaves times the learning rate; `None` where nothing is gained by splitting.
    pub(super) fn grow(&self, rows: Vec<u32>) -> Option<Tree> {
        let root = self.leaf(0, rows, None);
        root.best?;
        let mut nodes = vec![Node::Leaf(0.0)];
        let mut leaves = vec![root];
        while leaves.len() < self.settings.leaves_max {
            let gains = leaves.iter().enumerate();
            let splits = gains.filter_map(|(i, leaf)| Some((i, leaf.best?)));
            // The first of equal gains: `max_by` would take the last.
            let Some((at, split)) = splits.reduce(|best, next| {
                if next.1.gain > best.1.gain {
                    next
                } else {
                    best
                }
            }) else {
                break;
            };
            let leaf = leaves.swap_remove(at);
            let node = leaf.node;
            let (lower, upper) = self.split(leaf, split, nodes.len());
            nodes[node] = Node::Split {
                column: split.column,
                bin: split.bin,
                edge: self.bins.edge(split.column, split.bin),
                lower: lower.node,
                upper: upper.node,
            };
            nodes.extend([Node::Leaf(0.0), Node::Leaf(0.0)]);
            leaves.extend([lower, upper]);
        }
        for leaf in &leaves {
            let value = leaf.sums.target / (leaf.sums.weight + self.settings.l2);
            let value = if value.is_finite() { value } else { 0.0 };
            nodes[leaf.node] = Node::Leaf(self.settings.learning_rate * value);
        }
        Some(Tree(nodes))
    }

    fn split(&self, leaf: Leaf, split: Split, next_node: usize) -> (Leaf, Leaf) {
        let is_lower = |row: &u32| self.bins.row(*row as usize)[split.column] <= split.bin;
        let (lower, upper): (Vec<u32>, Vec<u32>) = leaf.rows.into_iter().partition(is_lower);
        // Summed for the smaller one; the rest is the larger one's.
        if lower.len() <= upper.len() {
            let lower = self.leaf(next_node, lower, None);
            let rest = without(leaf.histogram, &lower.histogram);
            (lower, self.leaf(next_node + 1, upper, Some(rest)))
        } else {
            let upper = self.leaf(next_node + 1, upper, None);
            let rest = without(leaf.histogram, &upper.histogram);
            (self.leaf(next_node, lower, Some(rest)), upper)
        }
    }

    fn leaf(&self, node: usize, rows: Vec<u32>, histogram: Option<Vec<Sums>>) -> Leaf {
        let histogram = histogram.unwrap_or_else(|| self.histogram(&rows));
        let first = self.columns.first().map_or(0, |c| self.bins.count(*c));
        let mut sums = Sums::default();
        histogram[..first].iter().for_each(|bin| sums.add(*bin));
        let best = self.best_split(&histogram, sums);
        Leaf {
            node,
            rows,
            sums,
            histogram,
            best,
        }
    }

    /// The sums of each bin, column after column.
    fn histogram(&self, rows: &[u32]) -> Vec<Sums> {
        let mut starts = Vec::with_capacity(self.columns.len());
        let mut end = 0;
        for column in self.columns {
            starts.push((*column, end));
            end += self.bins.count(*column);
        }
        let mut histogram = vec![Sums::default(); end];
        for row in rows {
            let row = *row as usize;
            let bins = self.bins.row(row);
            let weight = self.weights[row];
            let target = self.targets[row] * weight;
            for (column, start) in &starts {
                let sums = &mut histogram[start + usize::from(bins[*column])];
                sums.target += target;
                sums.weight += weight;
                sums.rows += 1;
            }
        }
        histogram
    }

    fn best_split(&self, histogram: &[Sums], all: Sums) -> Option<Split> {
        let score = |sums: Sums| sums.target * sums.target / (sums.weight + self.settings.l2);
        let rows_min = u32::try_from(self.settings.leaf_rows_min.max(1)).unwrap_or(u32::MAX);
        let unsplit = score(all);
        let mut best: Option<Split> = None;
        let mut start = 0;
        for column in self.columns {
            let count = self.bins.count(*column);
            let mut lower = Sums::default();
            for (bin, sums) in (0_u8..).zip(&histogram[start..start + count - 1]) {
                lower.add(*sums);
                let upper = all.without(lower);
                if lower.rows < rows_min {
                    continue;
                }
                if upper.rows < rows_min {
                    break;
                }
                let gain = score(lower) + score(upper) - unsplit;
                let least = best.map_or(unsplit * GAIN_SHARE_MIN, |best| best.gain);
                if gain > least {
                    best = Some(Split {
                        gain,
                        column: *column,
                        bin,
                        lower,
                    });
                }
            }
            start += count;
        }
        // Rows without weight on one side teach nothing.
        best.filter(|split| split.lower.weight > 0.0 && all.weight - split.lower.weight > 0.0)
    }
}

fn without(mut all: Vec<Sums>, part: &[Sums]) -> Vec<Sums> {
    all.iter_mut()
        .zip(part)
        .for_each(|(all, part)| *all = all.without(*part));
    all
}
