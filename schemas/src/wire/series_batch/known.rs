//! Series that a stream's records have named before: the next records share their names with them.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
};

use super::Shared;
use crate::{DeviceId, InvalidName, Series, SiteId, TagName, ValueType, wire::proto};

/// So many are kept; then they are met anew.
const KNOWN_MAX: usize = 1 << 14;

/// What blocks have shared so far.
#[derive(Debug, Default)]
pub(in crate::wire) struct KnownSeries {
    known: Vec<Known>,
    /// By the hash of what a block says of itself. Of two with the same hash the newer one stands
    /// here.
    numbers: HashMap<u64, usize>,
    hasher: RandomState,
    /// The one that was met last.
    last: usize,
}

#[derive(Debug)]
struct Known {
    shared: Arc<Shared>,
    /// The place of the one that came after it the last time.
    follower: usize,
}

impl KnownSeries {
    /// What the readings of a block share; quick where blocks follow one another as they did
    /// before.
    pub(in crate::wire) fn shared(
        &mut self,
        block: &proto::SeriesBlock,
        value_type: Option<ValueType>,
    ) -> Result<Arc<Shared>, InvalidName> {
        let follower = self.known.get(self.last).map(|last| last.follower);
        if let Some(found) = follower.and_then(|guess| self.at(guess, block, value_type)) {
            return Ok(found);
        }
        let hash = self.hasher.hash_one((
            &block.site,
            &block.device,
            &block.tag,
            &block.unit,
            value_type,
        ));
        let before = self.last;
        let number = self.numbers.get(&hash).copied();
        let found = match number.and_then(|number| self.at(number, block, value_type)) {
            Some(found) => found,
            None => self.meet(hash, block, value_type)?,
        };
        if let Some(before) = self.known.get_mut(before) {
            before.follower = self.last;
        }
        Ok(found)
    }

    /// The one at this place, if it is the block's.
    fn at(
        &mut self,
        number: usize,
        block: &proto::SeriesBlock,
        value_type: Option<ValueType>,
    ) -> Option<Arc<Shared>> {
        let shared = &self.known.get(number)?.shared;
        let Series { site, device, tag } = &shared.series;
        let is_it = tag.as_str() == block.tag
            && device.as_str() == block.device
            && site.as_str() == block.site
            && shared.unit.as_deref().unwrap_or_default() == block.unit
            && shared.value_type == value_type;
        self.last = if is_it { number } else { self.last };
        is_it.then(|| shared.clone())
    }

    fn meet(
        &mut self,
        hash: u64,
        block: &proto::SeriesBlock,
        value_type: Option<ValueType>,
    ) -> Result<Arc<Shared>, InvalidName> {
        let before = self.known.get(self.last).map(|last| last.shared.clone());
        let before = before.as_deref();
        let site = before
            .map(|before| &before.series.site)
            .filter(|site| site.as_str() == block.site);
        let device = before
            .map(|before| &before.series.device)
            .filter(|device| device.as_str() == block.device);
        let series = Series {
            site: site.cloned().map_or_else(|| SiteId::new(&block.site), Ok)?,
            device: device
                .cloned()
                .map_or_else(|| DeviceId::new(&block.device), Ok)?,
            tag: TagName::new(&block.tag)?,
        };
        let unit = (!block.unit.is_empty()).then(|| Arc::from(block.unit.as_str()));
        let shared = Arc::new(Shared {
            series,
            unit,
            value_type,
        });
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
            self.numbers.clear();
        }
        self.last = self.known.len();
        self.known.push(Known {
            shared: shared.clone(),
            follower: 0,
        });
        self.numbers.insert(hash, self.last);
        Ok(shared)
    }
}
