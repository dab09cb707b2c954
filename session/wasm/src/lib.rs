//! The fold of a session's workspace for browsers: a small C interface over `kulti_session::Workspace`.
//!
//! Every function takes and gives numbers. Text goes through memory: the caller asks for room with [`kulti_room`], writes
//! UTF-8 there and hands over place and length; an answer that is text lies at [`kulti_answer`] until the next call, and
//! the function gives its length. A negative number is a failure, whose reason is the answer. `fold.js` beside the
//! gateway's player wraps this into a class; docs/replay.md lists the functions.
#![expect(
    unsafe_code,
    reason = "memory is shared with the caller, and exported names have to be"
)]

mod fold;

use std::cell::RefCell;

use fold::Fold;

/// What a call gives when it has failed; the reason is the answer.
const FAILED: i32 = -1;

thread_local! {
    /// Folds by their number; those that were dropped are none.
    static FOLDS: RefCell<Vec<Option<Fold>>> = const { RefCell::new(Vec::new()) };
    /// What the caller writes to, and what it reads.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static ANSWER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Room for `length` bytes of the next call's text; gives its place. The one before is gone.
#[unsafe(no_mangle)]
pub extern "C" fn kulti_room(length: usize) -> *mut u8 {
    ROOM.with_borrow_mut(|room| {
        room.clear();
        room.resize(length, 0);
        room.as_mut_ptr()
    })
}

/// Where the last answer is.
#[unsafe(no_mangle)]
pub extern "C" fn kulti_answer() -> *const u8 {
    ANSWER.with_borrow(|answer| answer.as_ptr())
}

/// A fold before the first event; gives its number.
#[unsafe(no_mangle)]
pub extern "C" fn kulti_new() -> i32 {
    add(Fold::new())
}

/// A fold that goes on from the keyframe (JSON) in the room; gives its number.
#[unsafe(no_mangle)]
pub extern "C" fn kulti_from_keyframe() -> i32 {
    match Fold::from_keyframe(&taken()) {
        Ok(fold) => add(fold),
        Err(reason) => failed(&reason),
    }
}

/// Lets go of a fold. Its number may be given to another.
#[unsafe(no_mangle)]
pub extern "C" fn kulti_drop(fold: i32) {
    FOLDS.with_borrow_mut(|folds| {
        if let Some(place) = usize::try_from(fold).ok().and_then(|fold| folds.get_mut(fold)) {
            *place = None;
        }
    });
}

/// Applies the events in the room, a line of JSON each; gives how many lines were taken. Fewer than there are: the next
/// one is a patch of a file whose content is not at hand, and the answer is that content's SHA-256. Give it to
/// [`kulti_supply`], or say with an empty one that nobody has it, and go on with that line.
#[unsafe(no_mangle)]
pub extern "C" fn kulti_apply(fold: i32) -> i32 {
    let events = taken();
    with(fold, |fold| fold.apply(&events))
}

/// Takes the content in the room; an empty room: the one that was asked for cannot be had.
#[unsafe(no_mangle)]
pub extern "C" fn kulti_supply(fold: i32) -> i32 {
    let content = taken();
    with(fold, |fold| Ok(fold.supply(&content)))
}

/// Position of the last event applied.
#[unsafe(no_mangle)]
pub extern "C" fn kulti_position(fold: i32) -> i32 {
    with(fold, |fold| Ok((fold.position(), String::new())))
}

/// The whole state as JSON.
#[unsafe(no_mangle)]
pub extern "C" fn kulti_keyframe(fold: i32) -> i32 {
    with(fold, |fold| answer_of(fold.keyframe()))
}

/// The screen as JSON of the terminal whose name is in the room, or of the one that was used last; `null` if there is none.
#[unsafe(no_mangle)]
pub extern "C" fn kulti_screen(fold: i32) -> i32 {
    let terminal = taken();
    with(fold, |fold| answer_of(fold.screen(&terminal)))
}

/// The files as JSON, the one changed last at the end.
#[unsafe(no_mangle)]
pub extern "C" fn kulti_files(fold: i32) -> i32 {
    with(fold, |fold| answer_of(fold.files()))
}

/// The content of a file, whose SHA-256 is in the room; fails if it is not at hand.
#[unsafe(no_mangle)]
pub extern "C" fn kulti_content(fold: i32) -> i32 {
    let hash = taken();
    with(fold, |fold| fold.content(&hash).and_then(answer_of))
}

/// What a call gives: a number, and a text.
type Outcome = Result<(i32, String), String>;

fn answer_of(text: String) -> Outcome {
    let length = i32::try_from(text.len()).map_err(|_| "the answer is too long".to_owned())?;
    Ok((length, text))
}

fn add(fold: Fold) -> i32 {
    FOLDS.with_borrow_mut(|folds| {
        let free = folds.iter().position(Option::is_none).unwrap_or_else(|| {
            folds.push(None);
            folds.len() - 1
        });
        folds[free] = Some(fold);
        i32::try_from(free).unwrap_or(FAILED)
    })
}

fn with(fold: i32, call: impl FnOnce(&mut Fold) -> Outcome) -> i32 {
    let outcome = FOLDS.with_borrow_mut(|folds| {
        let fold = usize::try_from(fold)
            .ok()
            .and_then(|fold| folds.get_mut(fold)?.as_mut());
        fold.map_or_else(|| Err("no such fold".to_owned()), call)
    });
    match outcome {
        Ok((number, text)) => {
            ANSWER.set(text.into_bytes());
            number
        }
        Err(reason) => failed(&reason),
    }
}

fn failed(reason: &str) -> i32 {
    ANSWER.set(reason.as_bytes().to_vec());
    FAILED
}

/// What the caller has written; what is not UTF-8 is replaced.
fn taken() -> String {
    let bytes = ROOM.take();
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
