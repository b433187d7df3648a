/** Programs to begin with. Those that misbehave bound themselves and reach for nothing beyond the machine's own loopback. */
import type { SubmitEvaluation } from "../../api/types";

export interface Example {
  name: string;
  title: string;
  /** What it shows, in a sentence. */
  shows: string;
  specification: SubmitEvaluation;
}

/** A picture without any library: a PNG of a sine, written byte by byte. */
const plot = `import math, struct, zlib

W, H = 640, 320
ink = [[(250, 250, 253)] * W for _ in range(H)]
for x in range(W):
    for y in (H // 2, 40, H - 40):
        ink[y][x] = (221, 225, 232)
for phase, colour in ((0, (47, 91, 208)), (2, (180, 82, 11)), (4, (23, 105, 63))):
    for step in range(W * 8):
        x = step / 8
        y = H / 2 - math.sin(x / 60 + phase) * 110 * math.exp(-x / 700)
        for thick in (-1, 0, 1):
            ink[int(y) + thick][int(x)] = colour

def chunk(kind, data):
    return (struct.pack(">I", len(data)) + kind + data
            + struct.pack(">I", zlib.crc32(kind + data)))

raw = b"".join(b"\\0" + bytes(part for dot in row for part in dot) for row in ink)
with open("plot.png", "wb") as picture:
    picture.write(b"\\x89PNG\\r\\n\\x1a\\n"
                  + chunk(b"IHDR", struct.pack(">IIBBBBB", W, H, 8, 2, 0, 0, 0))
                  + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))
print("plot.png is drawn")
`;

export const examples: Example[] = [
  {
    name: "hello",
    title: "Hello",
    shows: "A program that prints and ends.",
    specification: {
      language: "python",
      code: `import sys, time

for step in range(1, 6):
    print(f"step {step}: {step} squared is {step ** 2}", flush=True)
    time.sleep(0.25)
print("that's all", file=sys.stderr)
`,
    },
  },
  {
    name: "files",
    title: "Files",
    shows: "Reads a file that is put in, and writes one that is brought out.",
    specification: {
      language: "python",
      code: `import collections, json

words = open("poem.txt").read().lower().split()
most = collections.Counter(words).most_common(5)
json.dump(dict(most), open("words.json", "w"), indent=2)
print("the most used words:", most)
`,
      files: [
        {
          path: "poem.txt",
          content: "the sea the sea the open sea\nthe blue the fresh the ever free\n",
        },
      ],
      collect: ["words.json"],
    },
  },
  {
    name: "plot",
    title: "A plot",
    shows: "Draws a picture and brings it out.",
    specification: { language: "python", code: plot, collect: ["plot.png"] },
  },
  {
    name: "fork-bomb",
    title: "A fork bomb",
    shows: "Wants two hundred processes. The control group stops it at 16.",
    specification: {
      language: "python",
      code: `import os, time

started = 0
try:
    for _ in range(200):           # bounded: never more than 200
        if os.fork() == 0:
            time.sleep(2)
            os._exit(0)
        started += 1
except OSError as refused:
    print(f"refused after {started} processes: {refused}")
`,
      limits: { pids: 16, timeout: "5s" },
    },
  },
  {
    name: "network",
    title: "A network probe",
    shows: "Tries a closed port of its own loopback. There is no network inside.",
    specification: {
      language: "python",
      code: `import socket

# Port 9 of this very machine, where nothing listens.
try:
    socket.create_connection(("127.0.0.1", 9), timeout=1)
except OSError as refused:
    print("no way out:", refused)
`,
    },
  },
  {
    name: "loop",
    title: "An infinite loop",
    shows: "Never ends by itself. The time limit ends it after two seconds.",
    specification: {
      language: "python",
      code: `number = 0
print("counting...", flush=True)
while True:
    number += 1
`,
      limits: { timeout: "2s" },
    },
  },
  {
    name: "secrets",
    title: "A reach for secrets",
    shows: "Looks for passwords and keys, and finds an empty house.",
    specification: {
      language: "bash",
      code: `cat /etc/shadow
ls -la /root ~/.ssh
env | grep -i -e key -e token
echo "done looking"
`,
    },
  },
  {
    name: "javascript",
    title: "JavaScript",
    shows: "The same in Node.js.",
    specification: {
      language: "javascript",
      code: `const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

(async () => {
  for (const word of ["three", "two", "one"]) {
    console.log(word);
    await wait(250);
  }
  console.error("this line went to standard error");
  console.log("lift-off, in Node.js", process.version);
})();
`,
    },
  },
];

export function example(name: string | null): Example | undefined {
  return examples.find((one) => one.name === name);
}
