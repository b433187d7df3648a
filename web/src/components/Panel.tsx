import { type ReactNode, useId } from "react";

/** A titled part of a page. */
export function Panel(props: {
  title: string;
  aside?: ReactNode;
  /** Whether the content goes up to the border. */
  flush?: boolean;
  children: ReactNode;
}) {
  const id = useId();
  return (
    <section className="panel" aria-labelledby={id}>
      <div className="panel-head">
        <h2 id={id} className="grow">
          {props.title}
        </h2>
        {props.aside}
      </div>
      <div className={props.flush ? "panel-body flush" : "panel-body"}>{props.children}</div>
    </section>
  );
}
