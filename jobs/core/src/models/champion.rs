//! How a kind uses models that it trains: the champion of a place while it holds, a challenger when it is time, and which of
//! both goes on.
//!
//! Invariants: a fire uses a model that was trained before it, so that a run that is done again does the same; of one place one model at most is the champion, and a
//! back-fill never takes that from the live one: what it trains for times before that one's is written as retired.
//!
//! It deliberately knows nothing of what a model is: whether its settings are still the job's, and how two models did over
//! the same times, the kind says.

use std::time::Duration;

use datafusion::prelude::{col, lit};
use forebay_schemas::{DeviceId, SiteId, Timestamp, table::MODELS};

use super::{Better, Margin, Measured, Model, beats, latest};
use crate::{JobError, ModelRow, ModelState, RunContext, clock::plus, sight::Sight};

/// Which devices a model is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// `None`: all sites of the job.
    pub site: Option<SiteId>,
    /// `None`: all devices of the job.
    pub device: Option<DeviceId>,
}

/// What was trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// Names it within its job and place: other readings or settings, another name.
    pub version: String,
    /// What it is for.
    pub place: Place,
    /// The first instant of the readings that it was trained on.
    pub train_from: Timestamp,
    /// The first instant after them.
    pub train_to: Timestamp,
    /// Its back-test in short, as a JSON object.
    pub metrics: String,
    /// The model.
    pub bytes: Vec<u8>,
}

/// A challenger and the champion over the same times, which neither was trained on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contest {
    /// The metric of the new model.
    pub challenger: Measured,
    /// That of the old one.
    pub champion: Measured,
    /// Which way it gets better.
    pub better: Better,
    /// How clearly the new one must win.
    pub margin: Margin,
}

/// What a new model meets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rival {
    /// There is no champion, or the job's settings have changed since: it takes over.
    Absent,
    /// A champion that could go on.
    Held(Contest),
}

impl Rival {
    /// Whether the new model takes over.
    pub fn yields(&self) -> bool {
        match self {
            Self::Absent => true,
            Self::Held(contest) => {
                let champion = Some(contest.champion);
                beats(contest.challenger, champion, contest.better, contest.margin)
            }
        }
    }
}

/// The models of a job as one fire sees them.
#[derive(Debug, Clone, Default)]
pub struct ModelShelf {
    seen: Vec<Model>,
    /// Places whose champion was trained after the cutoff.
    taken: Vec<Place>,
    /// States that count as a champion's: of a fire of the past, those that have been one.
    champions: &'static [ModelState],
}

impl ModelShelf {
    /// The champion of a place.
    pub fn champion(&self, place: &Place) -> Option<&Model> {
        let of_place = self.of(place);
        let champions = of_place.filter(|model| self.champions.contains(&model.row.state));
        champions.max_by_key(|model| (model.row.data_cutoff, model.row.changed_at))
    }

    /// Whether it is time to train again: when nothing was trained for so long before `cutoff`, whether it won or not.
    pub fn is_due(&self, place: &Place, retrain_every: Duration, cutoff: Timestamp) -> bool {
        let newest = self.of(place).map(|model| model.row.trained_at).max();
        newest.is_none_or(|newest| plus(newest, retrain_every) <= cutoff)
    }

    fn of<'a>(&'a self, place: &Place) -> impl Iterator<Item = &'a Model> {
        self.seen
            .iter()
            .filter(move |model| place_of(model) == *place)
    }

    /// The rows that a new model brings: its own, and that of the champion that it replaces.
    fn rows(
        &self,
        trained: &Trained,
        object: String,
        rival: &Rival,
        cutoff: Timestamp,
        now: Timestamp,
    ) -> Vec<ModelRow> {
        let state = if !rival.yields() {
            ModelState::Challenger
        } else if self.taken.contains(&trained.place) {
            ModelState::Retired
        } else {
            ModelState::Champion
        };
        let mut rows = vec![ModelRow {
            version: trained.version.clone(),
            site: trained.place.site.clone(),
            device: trained.place.device.clone(),
            trained_at: cutoff,
            train_from: trained.train_from,
            train_to: trained.train_to,
            data_cutoff: cutoff,
            metrics: trained.metrics.clone(),
            state,
            changed_at: now,
            object: Some(object),
        }];
        let replaced = self.of(&trained.place).filter(|model| {
            state == ModelState::Champion
                && model.row.state == ModelState::Champion
                && model.row.version != trained.version
        });
        rows.extend(replaced.map(|model| ModelRow {
            state: ModelState::Retired,
            changed_at: now,
            ..model.row.clone()
        }));
        rows
    }
}

fn place_of(model: &Model) -> Place {
    Place {
        site: model.row.site.clone(),
        device: model.row.device.clone(),
    }
}

impl RunContext {
    /// The models of this job, for a kind that trains and uses them.
    ///
    /// # Errors
    /// When the lake cannot be read.
    pub async fn model_shelf(&self) -> Result<ModelShelf, JobError> {
        let session = self.uncut().await?;
        let models = session.table(MODELS.name).await?;
        let all = latest(models.filter(col("job").eq(lit(self.job().as_str())))?).await?;
        let champions: &[ModelState] = match self.sight {
            Sight::Newest => &[ModelState::Champion],
            Sight::Held(_) => &[ModelState::Champion, ModelState::Retired],
        };
        let is_later = |model: &&Model| {
            model.row.state == ModelState::Champion && model.row.data_cutoff > self.cutoff()
        };
        Ok(ModelShelf {
            taken: all.iter().filter(is_later).map(place_of).collect(),
            // Without those of this very fire: a run that is done again finds what it found the first time.
            seen: all
                .into_iter()
                .filter(|model| model.row.data_cutoff < self.cutoff())
                .collect(),
            champions,
        })
    }

    /// Keeps a new model, and answers the rows of it and of what it replaces.
    ///
    /// # Errors
    /// When the lake cannot be written.
    pub async fn shelve(
        &self,
        shelf: &ModelShelf,
        trained: &Trained,
        rival: &Rival,
    ) -> Result<Vec<ModelRow>, JobError> {
        let object = self.keep_model(&trained.bytes).await?;
        Ok(shelf.rows(trained, object, rival, self.cutoff(), self.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_nanos(day * 86_400_000_000_000)
    }

    fn model(version: &str, day: i64, state: ModelState) -> Model {
        Model {
            job: "j".into(),
            run_id: "j-1".into(),
            row: ModelRow {
                version: version.into(),
                site: None,
                device: None,
                trained_at: at(day),
                train_from: at(0),
                train_to: at(day),
                data_cutoff: at(day),
                metrics: "{}".into(),
                state,
                changed_at: at(day),
                object: Some(version.into()),
            },
        }
    }

    fn shelf(models: &[(&str, i64, ModelState)], taken: &[Place]) -> ModelShelf {
        let of = |(version, day, state): &(&str, i64, ModelState)| model(version, *day, *state);
        ModelShelf {
            seen: models.iter().map(of).collect(),
            taken: taken.to_vec(),
            champions: &[ModelState::Champion],
        }
    }

    fn contest(challenger: f64, champion: f64) -> Rival {
        let measured = |value| Measured { value, n: 50 };
        Rival::Held(Contest {
            challenger: measured(challenger),
            champion: measured(champion),
            better: Better::Lower,
            margin: Margin {
                share: 0.02,
                n_min: 10,
            },
        })
    }

    #[test]
    fn a_new_model_takes_over_where_it_wins_and_the_old_one_is_retired() {
        use ModelState::{Challenger, Champion, Retired};
        let both = vec![("1", 1, Champion), ("0", 0, Retired)];
        let retired = vec![("0", 0, Retired)];
        let anywhere = Place::default();
        let taken = vec![anywhere.clone()];
        let replaced = vec![("2", Champion), ("1", Retired)];
        let lost = vec![("2", Challenger)];
        for (known, taken, rival, expected, why) in [
            (&both, &vec![], contest(1.0, 2.0), &replaced, "it wins"),
            (&both, &vec![], contest(2.0, 1.0), &lost, "it loses"),
            (&both, &vec![], contest(1.99, 2.0), &lost, "hardly better"),
            (&both, &vec![], Rival::Absent, &replaced, "other settings"),
            (
                &vec![],
                &vec![],
                Rival::Absent,
                &vec![("2", Champion)],
                "first",
            ),
            (
                &retired,
                &taken,
                Rival::Absent,
                &vec![("2", Retired)],
                "of the past: the live one goes on",
            ),
        ] {
            let trained = Trained {
                version: "2".into(),
                place: anywhere.clone(),
                train_from: at(0),
                train_to: at(5),
                metrics: "{}".into(),
                bytes: vec![2],
            };
            let rows = shelf(known, taken).rows(&trained, "o".into(), &rival, at(5), at(9));
            let found: Vec<_> = rows
                .iter()
                .map(|row| (row.version.as_str(), row.state))
                .collect();
            assert_eq!(&found, expected, "{why}");
            assert!(rows.iter().all(|row| row.changed_at == at(9)), "{why}");
            assert_eq!((rows[0].trained_at, rows[0].data_cutoff), (at(5), at(5)));
        }
    }

    #[test]
    fn a_challenger_that_lost_puts_the_next_one_off_too() {
        use ModelState::{Challenger, Champion};
        let shelf = shelf(&[("1", 1, Champion), ("2", 8, Challenger)], &[]);
        let place = Place::default();
        assert_eq!(shelf.champion(&place).unwrap().row.version, "1");
        let week = Duration::from_secs(7 * 86_400);
        let due = [9, 14, 15].map(|day| shelf.is_due(&place, week, at(day)));
        assert_eq!(due, [false, false, true]);
        let elsewhere = Place {
            device: DeviceId::new("other").ok(),
            site: None,
        };
        assert!(shelf.champion(&elsewhere).is_none() && shelf.is_due(&elsewhere, week, at(1)));
    }
}
