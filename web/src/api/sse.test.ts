import { expect, test } from "vitest";
import { EventReader } from "./sse";

const stream =
  "\u{feff}".slice(1) +
  "retry: 2000\n\n: alive\n\nid: 7\r\nevent: finished\r\ndata: a\r\ndata: b\r\n\r\ndata:c\rid\r\r";

test("events come out the same however the stream is cut", () => {
  const whole = new EventReader().take(`${stream}\n`);
  expect(whole).toEqual([
    { id: "7", event: "finished", data: "a\nb" },
    { id: "", event: "message", data: "c" },
  ]);
  for (let size = 1; size < 12; size++) {
    const reader = new EventReader();
    const events = [];
    for (let at = 0; at < stream.length; at += size) events.push(...reader.take(stream.slice(at, at + size)));
    events.push(...reader.take("\n"));
    expect(events).toEqual(whole);
    expect(reader.retry).toBe(2000);
  }
});

test("half an event is none", () => {
  expect(new EventReader().take("data: half\n")).toEqual([]);
});
