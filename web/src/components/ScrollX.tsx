import type { ReactNode } from "react";

/** What may be wider than the window and is then scrolled by itself, by keyboard, too. */
export function ScrollX(props: { label: string; children: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reachable by keyboard
    <section className="scroll-x" aria-label={props.label} tabIndex={0}>
      {props.children}
    </section>
  );
}
