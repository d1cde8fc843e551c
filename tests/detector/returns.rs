//! An old primary that is there again: brought back where the site says so and a run has replaced it, else left alone.

use super::support::{Site, auto, name, watched};
use pgbaton::cluster::{Detector, OnReturn};
use pgbaton::simulate::Disruption as D;
use pgbaton::trigger::RETURN;

fn rejoining() -> Detector {
    Detector {
        on_return: OnReturn::Rejoin,
        ..auto()
    }
}

/// n1 is dead and n2 has taken its place; the order of that is gone from the desk.
async fn replaced(site: &Site) {
    site.disrupt(D::HostDown(name("n1")));
    site.seconds(10.0).await;
    assert_eq!(site.orders(), 1, "{:?}", site.told());
    site.desk.with(|log| log.orders.clear());
}

#[test]
fn who_was_replaced_is_brought_back_when_its_host_is_there() {
    watched(rejoining(), 1, async |site| {
        site.desk.with(|log| log.replaced = vec![name("n1")]);
        replaced(&site).await;
        site.seconds(60.0).await;
        assert_eq!(site.orders(), 0, "its host says nothing yet");
        site.disrupt(D::ComeBack(name("n1")));
        site.seconds(60.0).await;
        let orders = site.desk.with(|log| std::mem::take(&mut log.orders));
        assert!(!orders.is_empty(), "{:?}", site.told());
        for order in &orders {
            assert_eq!(
                (order.playbook.as_str(), order.trigger.as_str()),
                ("rejoin", RETURN)
            );
            let given = [("node", "n1"), ("upstream", "n2")];
            assert_eq!(
                order.params,
                given.map(|(k, v)| (k.to_owned(), v.to_owned()))
            );
        }
    });
}

#[test]
fn nobody_is_brought_back_whom_no_run_replaced_or_where_the_site_does_not_say_so() {
    for (detector, known) in [(auto(), true), (rejoining(), false)] {
        watched(detector, 1, async |site| {
            if known {
                site.desk.with(|log| log.replaced = vec![name("n1")]);
            }
            replaced(&site).await;
            site.disrupt(D::ComeBack(name("n1")));
            site.seconds(120.0).await;
            assert_eq!(site.orders(), 0, "{:?}", site.told());
        });
    }
    // A standby that somebody stopped is nobody's old primary.
    watched(rejoining(), 1, async |site| {
        site.disrupt(D::StopServer(name("n3")));
        site.seconds(120.0).await;
        assert_eq!(site.orders(), 0, "{:?}", site.told());
    });
}
