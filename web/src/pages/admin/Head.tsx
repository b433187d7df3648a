import type { ReactNode } from "react";

/** What a part is called, what it is for, and what one can do there. */
export function Head(props: { title: string; about: ReactNode; children?: ReactNode }) {
  return (
    <div className="page-head admin-head">
      <div className="grow">
        <h1>{props.title}</h1>
        <p>{props.about}</p>
      </div>
      {props.children}
    </div>
  );
}
