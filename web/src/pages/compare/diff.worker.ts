import { compareAny, type DiffResult } from "./diff";

interface Scope {
  onmessage:
    | ((message: MessageEvent<{ before: string | Uint8Array; after: string | Uint8Array }>) => void)
    | null;
  postMessage(message: DiffResult): void;
}

const scope = self as unknown as Scope;

scope.onmessage = ({ data }) => scope.postMessage(compareAny(data.before, data.after));
