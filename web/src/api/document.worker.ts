import { type ReadEvaluation, readEvaluation } from "./document";

interface Scope {
  onmessage: ((message: MessageEvent<ArrayBuffer>) => void) | null;
  postMessage(message: ReadEvaluation, transfer: ArrayBuffer[]): void;
}

const scope = self as unknown as Scope;

scope.onmessage = (message) => {
  const read = readEvaluation(message.data);
  const buffers = [read.stdout, read.stderr, ...read.files.map((file) => file.bytes)].map(
    (bytes) => bytes.buffer,
  );
  scope.postMessage(read, [...new Set(buffers)]);
};
