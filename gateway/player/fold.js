/** The fold of a session's workspace: the WebAssembly that `dev/wasm` builds, as a class. docs/replay.md lists what it gives. */

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Makes the class out of the bytes of fold.wasm. */
export async function loadFold(bytes) {
  const { instance } = await WebAssembly.instantiate(bytes, {});
  const wasm = instance.exports;

  const give = (text) => {
    const data = encoder.encode(text);
    const place = wasm.kulti_room(data.length);
    new Uint8Array(wasm.memory.buffer, place, data.length).set(data);
  };
  const answer = (length) => decoder.decode(new Uint8Array(wasm.memory.buffer, wasm.kulti_answer(), length));
  const checked = (number) => {
    if (number < 0) throw new Error("the fold could not do that");
    return number;
  };
  const HASH_LENGTH = 64;

  return class Fold {
    /** Before the first event, or where a keyframe (JSON) was taken. */
    constructor(keyframe) {
      if (keyframe === undefined) {
        this.number = wasm.kulti_new();
      } else {
        give(keyframe);
        this.number = checked(wasm.kulti_from_keyframe());
      }
    }

    /** Lets go of its memory. */
    drop() {
      wasm.kulti_drop(this.number);
    }

    /** Applies events, a line of JSON each. `contentOf(sha256)` finds what a patch is for; nothing if nobody has it. */
    apply(lines, contentOf = () => undefined) {
      let at = 0;
      while (at < lines.length) {
        give(at === 0 ? lines.join("\n") : lines.slice(at).join("\n"));
        at += checked(wasm.kulti_apply(this.number));
        if (at < lines.length) {
          give(contentOf(answer(HASH_LENGTH)) ?? "");
          checked(wasm.kulti_supply(this.number));
        }
      }
    }

    /** Position of the last event applied. */
    position() {
      return checked(wasm.kulti_position(this.number));
    }

    /** The whole state, as JSON: what `GET /v1/sessions/{id}/state` answers. */
    keyframe() {
      return answer(checked(wasm.kulti_keyframe(this.number)));
    }

    /** A terminal's screen, or null: what `GET /v1/sessions/{id}/screen` answers in `lines`, `cursor` and so on. */
    screen(terminal = "") {
      give(terminal);
      return JSON.parse(answer(checked(wasm.kulti_screen(this.number))));
    }

    /** The files, the one changed last at the end. */
    files() {
      return JSON.parse(answer(checked(wasm.kulti_files(this.number))));
    }

    /** A file's text by its hash; undefined if it is not at hand. */
    content(sha256) {
      give(sha256);
      const length = wasm.kulti_content(this.number);
      return length < 0 ? undefined : answer(length);
    }
  };
}
