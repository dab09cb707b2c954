//! Secrets that lie over several events of one request.

use std::collections::{BTreeMap, HashMap};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kulti_masking::{Counts, Cut, Masker, Part, Piece, part_of};
use kulti_schemas::{Event, SessionId};
use serde_json::value::RawValue;

use super::json_of;

/// Takes out of the events what is a secret only together: the marker is in the first one, the rest is gone.
pub(super) fn mask_joined(masker: &Masker, events: &mut [&mut Event]) -> Counts {
    let mut counts = Counts::default();
    if events.len() < 2 {
        return counts;
    }
    for parts in parts_by_stream(events)
        .into_values()
        .filter(|parts| parts.len() > 1)
    {
        let pieces: Vec<Piece<'_>> = parts.iter().map(|(_, part)| Piece(&part.bytes)).collect();
        let mut cuts = Vec::new();
        for joined in masker.joined(&pieces) {
            counts.add(joined.rule, 1);
            cuts.extend(joined.cuts);
        }
        for cuts in cuts.chunk_by(|one, next| one.piece == next.piece) {
            let (event, part) = &parts[cuts[0].piece];
            apply(events[*event], part, cuts);
        }
    }
    counts
}

/// By session and stream: places in `events`, in order.
fn parts_by_stream(events: &[&mut Event]) -> HashMap<(SessionId, String), Vec<(usize, Part)>> {
    let mut streams: HashMap<(SessionId, String), Vec<(usize, Part)>> = HashMap::new();
    for (index, event) in events.iter().enumerate() {
        if let Some(part) = part_of(event.kind.name(), event.data.get()) {
            let stream = (event.meta.session_id.clone(), part.stream.clone());
            streams.entry(stream).or_default().push((index, part));
        }
    }
    streams
}

/// `cuts` are of this part, in order.
fn apply(event: &mut Event, part: &Part, cuts: &[Cut]) {
    let mut bytes = Vec::with_capacity(part.bytes.len());
    let mut last = 0;
    for cut in cuts {
        bytes.extend_from_slice(&part.bytes[last..cut.range.start]);
        bytes.extend_from_slice(cut.marker.as_bytes());
        last = cut.range.end;
    }
    bytes.extend_from_slice(&part.bytes[last..]);
    let text = match part.member {
        "base64" => STANDARD.encode(&bytes),
        _ => String::from_utf8_lossy(&bytes).into_owned(),
    };
    let Ok(mut members) = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(event.data.get()) else {
        return;
    };
    members.insert(
        part.member.to_owned(),
        json_of(serde_json::Value::from(text).to_string()),
    );
    // Objects of strings and valid JSON are JSON.
    if let Ok(data) = serde_json::value::to_raw_value(&members) {
        event.data = data;
    }
}
