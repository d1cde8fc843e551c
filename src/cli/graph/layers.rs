//! Where boxes and arrows go: layers by longest path, order by barycentres, positions by least squares.
//!
//! An arrow over several layers passes an invisible point in each, so that it goes round the boxes between. A cycle (which a
//! checked playbook has not) would put boxes in wrong layers, nothing worse.

/// A box, or a point that an arrow passes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    /// The layer, from the top.
    pub(super) layer: usize,
    /// Its centre.
    pub(super) x: f64,
    /// How wide it is.
    pub(super) width: f64,
}

/// Boxes and arrows in their places.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    /// The boxes first, in the order given; then points.
    pub(super) places: Vec<Place>,
    /// Each arrow as the places that it passes, box to box, in the order given.
    pub(super) arrows: Vec<Vec<usize>>,
    /// How many layers.
    pub(super) layers: usize,
    /// From the leftmost edge, which is at 0, to the rightmost.
    pub(super) width: f64,
}

/// Space between neighbours in a layer.
const GAP: f64 = 28.0;
/// How wide a point is held to be.
const POINT: f64 = 10.0;

/// Lays out boxes of these widths.
pub(super) fn lay_out(widths: &[f64], arrows: &[(usize, usize)]) -> Layout {
    let layer_of = longest_paths(widths.len(), arrows);
    let layers = layer_of.iter().max().map_or(0, |last| last + 1);
    let mut places: Vec<Place> = widths
        .iter()
        .zip(&layer_of)
        .map(|(width, layer)| Place {
            layer: *layer,
            x: 0.0,
            width: *width,
        })
        .collect();
    let mut routes = Vec::new();
    for (from, to) in arrows {
        let mut route = vec![*from];
        for layer in layer_of[*from] + 1..layer_of[*to] {
            route.push(places.len());
            places.push(Place {
                layer,
                x: 0.0,
                width: POINT,
            });
        }
        route.push(*to);
        routes.push(route);
    }
    let mut links = vec![(Vec::new(), Vec::new()); places.len()];
    for pair in routes.iter().flat_map(|r| r.windows(2)) {
        links[pair[0]].1.push(pair[1]);
        links[pair[1]].0.push(pair[0]);
    }
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); layers];
    for (place, p) in places.iter().enumerate() {
        rows[p.layer].push(place);
    }
    order(&mut rows, &links, places.len());
    let width = position(&mut places, &rows, &links);
    Layout {
        places,
        arrows: routes,
        layers,
        width,
    }
}

/// For each box the length of the longest way to it.
fn longest_paths(count: usize, arrows: &[(usize, usize)]) -> Vec<usize> {
    let mut layer = vec![0; count];
    // Each round settles at least one layer.
    for _ in 0..count {
        let mut moved = false;
        for (from, to) in arrows {
            if layer[*to] <= layer[*from] {
                layer[*to] = layer[*from] + 1;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    layer
}

type Links = [(Vec<usize>, Vec<usize>)];

/// Sorts every row by the mean place of its neighbours, down and up again, and keeps the order with the fewest crossings.
fn order(rows: &mut Vec<Vec<usize>>, links: &Links, count: usize) {
    let mut best = rows.clone();
    let mut fewest = crossings(rows, links, count);
    for sweep in 0..12 {
        let down = sweep % 2 == 0;
        let turns: Vec<usize> = if down {
            (1..rows.len()).collect()
        } else {
            (0..rows.len().saturating_sub(1)).rev().collect()
        };
        for row in turns {
            let spots = spots(rows, count);
            rows[row].sort_by(|a, b| {
                let mean = |place: &usize| {
                    let (above, below) = &links[*place];
                    let near = if down { above } else { below };
                    mean(near.iter().map(|n| spots[*n])).unwrap_or(spots[*place])
                };
                mean(a).total_cmp(&mean(b))
            });
        }
        let now = crossings(rows, links, count);
        if now < fewest {
            fewest = now;
            best.clone_from(rows);
        }
    }
    *rows = best;
}

/// Where each place stands in its row, from 0 to 1, so that rows of different lengths compare.
fn spots(rows: &[Vec<usize>], count: usize) -> Vec<f64> {
    let mut spots = vec![0.0; count];
    for row in rows {
        for (index, place) in row.iter().enumerate() {
            spots[*place] = (number(index) + 0.5) / number(row.len());
        }
    }
    spots
}

fn crossings(rows: &[Vec<usize>], links: &Links, count: usize) -> usize {
    let spots = spots(rows, count);
    let mut found = 0;
    for row in rows {
        let pairs: Vec<(f64, f64)> = row
            .iter()
            .flat_map(|from| links[*from].1.iter().map(|to| (spots[*from], spots[*to])))
            .collect();
        for (index, a) in pairs.iter().enumerate() {
            found += pairs[index + 1..]
                .iter()
                .filter(|b| (a.0 - b.0) * (a.1 - b.1) < 0.0)
                .count();
        }
    }
    found
}

/// Moves every row towards its neighbours without changing its order; gives the width of it all.
fn position(places: &mut [Place], rows: &[Vec<usize>], links: &Links) -> f64 {
    for row in rows {
        let mut x = 0.0;
        for place in row {
            let half = places[*place].width / 2.0;
            places[*place].x = x + half;
            x += 2.0 * half + GAP;
        }
    }
    for sweep in 0..24 {
        let down = sweep % 2 == 0;
        let turns: Vec<&Vec<usize>> = if down {
            rows.iter().collect()
        } else {
            rows.iter().rev().collect()
        };
        for row in turns {
            let wishes: Vec<f64> = row
                .iter()
                .map(|place| {
                    let (above, below) = &links[*place];
                    let near: &[usize] = if down { above } else { below };
                    mean(near.iter().map(|n| places[*n].x)).unwrap_or(places[*place].x)
                })
                .collect();
            for (place, x) in row.iter().zip(settle(places, row, &wishes)) {
                places[*place].x = x;
            }
        }
    }
    let left = places
        .iter()
        .map(|p| p.x - p.width / 2.0)
        .fold(f64::INFINITY, f64::min);
    let right = places
        .iter()
        .map(|p| p.x + p.width / 2.0)
        .fold(f64::NEG_INFINITY, f64::max);
    if places.is_empty() {
        return 0.0;
    }
    for place in places {
        place.x -= left;
    }
    right - left
}

/// The positions nearest to the wishes (least squares) that keep order and gaps: neighbours that would overlap become a
/// block, and a block stands at the mean of its members' wishes.
fn settle(places: &[Place], row: &[usize], wishes: &[f64]) -> Vec<f64> {
    // With the offsets taken off, "keep the gap" is "do not decrease".
    let mut offsets = Vec::new();
    let mut offset = 0.0;
    for (index, place) in row.iter().enumerate() {
        if index > 0 {
            offset += places[row[index - 1]].width / 2.0 + GAP + places[*place].width / 2.0;
        }
        offsets.push(offset);
    }
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for (wish, offset) in wishes.iter().zip(&offsets) {
        let mut block = (wish - offset, 1);
        while let Some(last) = blocks.last()
            && last.0 >= block.0
        {
            let (a, b) = (number(last.1), number(block.1));
            block = ((last.0 * a + block.0 * b) / (a + b), last.1 + block.1);
            blocks.pop();
        }
        blocks.push(block);
    }
    blocks
        .into_iter()
        .flat_map(|(at, count)| std::iter::repeat_n(at, count))
        .zip(offsets)
        .map(|(at, offset)| at + offset)
        .collect()
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0usize), |(s, c), v| (s + v, c + 1));
    (count > 0).then(|| sum / number(count))
}

#[expect(clippy::cast_precision_loss, reason = "numbers of boxes")]
fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_diamond_is_symmetric() {
        let layout = lay_out(&[100.0; 4], &[(0, 1), (0, 2), (1, 3), (2, 3)]);
        let x: Vec<f64> = layout.places.iter().map(|p| p.x).collect();
        assert!((x[0] - x[3]).abs() < 0.01);
        assert!((f64::midpoint(x[1], x[2]) - x[0]).abs() < 0.01);
        assert_eq!(layout.layers, 3);
    }

    #[test]
    fn crossed_arrows_are_uncrossed() {
        let layout = lay_out(&[100.0; 4], &[(0, 3), (1, 2)]);
        let x = |i: usize| layout.places[i].x;
        assert_eq!(x(0) < x(1), x(3) < x(2));
    }

    proptest! {
        #[test]
        fn arrows_point_down_and_boxes_never_overlap(
            count in 1usize..14,
            pairs in proptest::collection::vec((0usize..14, 0usize..14), 0..30),
        ) {
            let arrows: Vec<(usize, usize)> = pairs
                .into_iter()
                .map(|(a, b)| (a % count, b % count))
                .filter(|(a, b)| a < b)
                .collect();
            let widths: Vec<f64> = (0..count).map(|i| 60.0 + 20.0 * number(i % 5)).collect();
            let layout = lay_out(&widths, &arrows);
            for route in &layout.arrows {
                for pair in route.windows(2) {
                    prop_assert_eq!(layout.places[pair[0]].layer + 1, layout.places[pair[1]].layer);
                }
            }
            for (i, a) in layout.places.iter().enumerate() {
                prop_assert!(a.x - a.width / 2.0 > -0.01);
                prop_assert!(a.x + a.width / 2.0 < layout.width + 0.01);
                for b in &layout.places[i + 1..] {
                    let apart = (a.x - b.x).abs() - f64::midpoint(a.width, b.width);
                    prop_assert!(a.layer != b.layer || apart > GAP - 0.01);
                }
            }
        }
    }
}
