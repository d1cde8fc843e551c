//! How often somebody may do something: buckets that fill again with time.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// More than this is not kept in mind; only an attack has as many.
const MOST: usize = 10_000;

/// A bucket for each of whoever comes.
pub(super) struct Buckets<K> {
    /// What one holds.
    size: f64,
    /// How much comes back in a second.
    per_second: f64,
    table: Mutex<HashMap<K, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl<K: Hash + Eq> Buckets<K> {
    pub(super) fn new(size: u32, per_second: f64) -> Self {
        Self {
            size: f64::from(size),
            per_second,
            table: Mutex::default(),
        }
    }

    /// Takes one out; how long to wait where there is none.
    pub(super) fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() >= MOST && !table.contains_key(&key) {
            // Who has a full one is as good as unknown.
            table.retain(|_, bucket| self.filled(*bucket, now) < self.size);
            if table.len() >= MOST {
                return Err(Duration::from_secs(1));
            }
        }
        let bucket = table.entry(key).or_insert(Bucket {
            left: self.size,
            at: now,
        });
        let left = self.filled(*bucket, now);
        if left < 1.0 {
            let wait = (1.0 - left) / self.per_second;
            return Err(Duration::from_secs_f64(wait.clamp(0.001, 3600.0)));
        }
        *bucket = Bucket {
            left: left - 1.0,
            at: now,
        };
        Ok(())
    }

    fn filled(&self, bucket: Bucket, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.left + passed * self.per_second).min(self.size)
    }
}

/// Whom an address counts as: with IPv6 everybody has as many as 64 bits hold.
pub(super) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => {
            let mut parts = six.segments();
            parts[4..].fill(0);
            IpAddr::from(parts)
        }
        four @ IpAddr::V4(_) => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_emptied_and_fills_again_and_is_nobody_elses() {
        let buckets = Buckets::new(3, 2.0);
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        for _ in 0..3 {
            assert_eq!(buckets.take("a", start), Ok(()));
        }
        assert_eq!(buckets.take("a", start), Err(Duration::from_millis(500)));
        assert_eq!(buckets.take("b", start), Ok(()));
        assert!(buckets.take("a", after(499)).is_err());
        assert_eq!(buckets.take("a", after(500)), Ok(()));
        assert!(buckets.take("a", after(500)).is_err());
        // However long nobody came, it holds no more than it can.
        for _ in 0..3 {
            assert_eq!(buckets.take("a", after(60_000)), Ok(()));
        }
        assert!(buckets.take("a", after(60_000)).is_err());
    }

    #[test]
    fn any_number_of_addresses_takes_bounded_memory() {
        let buckets = Buckets::new(1, 1.0);
        let start = Instant::now();
        for one in 0..MOST {
            assert_eq!(buckets.take(one, start), Ok(()));
        }
        assert!(buckets.take(MOST, start).is_err(), "there is no room");
        let later = start + Duration::from_secs(2);
        assert_eq!(
            buckets.take(MOST, later),
            Ok(()),
            "the others are full again"
        );
        assert_eq!(buckets.table.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        let of = |text: &str| neighbourhood(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::4"), of("2001:db8:1:3::4"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
