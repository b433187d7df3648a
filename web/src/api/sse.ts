/** Reads server-sent events from pieces of text, as the HTML standard says. */

export interface ServerSentEvent {
  id: string | null;
  event: string;
  data: string;
}

export class EventReader {
  #rest = "";
  #id: string | null = null;
  #event = "";
  #data: string[] = [];
  /** How long the server wants to be left alone after a cut, in milliseconds. */
  retry: number | null = null;

  /** Takes a piece and gives the events that it completed. */
  take(piece: string): ServerSentEvent[] {
    const done: ServerSentEvent[] = [];
    let text = this.#rest + piece;
    // A CR at the very end may be the first half of CRLF.
    const held = text.endsWith("\r") ? "\r" : "";
    if (held) text = text.slice(0, -1);
    let start = 0;
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code !== 10 && code !== 13) continue;
      this.#line(text.slice(start, at), done);
      if (code === 13 && text.charCodeAt(at + 1) === 10) at++;
      start = at + 1;
    }
    this.#rest = text.slice(start) + held;
    return done;
  }

  #line(line: string, done: ServerSentEvent[]): void {
    if (line === "") {
      if (this.#data.length > 0) {
        done.push({ id: this.#id, event: this.#event || "message", data: this.#data.join("\n") });
      }
      this.#event = "";
      this.#data = [];
      return;
    }
    if (line.startsWith(":")) return;
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
  }
}
