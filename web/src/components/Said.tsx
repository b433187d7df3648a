import { Fragment } from "react";

/** A sentence of the service: what stands between backticks is shown as code. */
export function Said({ text }: { text: string }) {
  return text
    .split("`")
    .map((piece, at) =>
      at % 2 === 1 ? <code key={at}>{piece}</code> : <Fragment key={at}>{piece}</Fragment>,
    );
}
