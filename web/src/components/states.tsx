/** What a part of a page shows when it has nothing, waits, failed or may not. */
import type { ReactNode } from "react";
import { asProblem } from "../api/problem";
import { Button } from "./controls";
import { Icon, type IconName } from "./Icon";

export function Empty(props: { title: string; icon?: IconName; children?: ReactNode }) {
  return (
    <div className="state">
      <Icon name={props.icon ?? "list"} />
      <h2>{props.title}</h2>
      {props.children}
    </div>
  );
}

/** Grey bars in place of what is coming. */
export function Loading(props: { what: string; lines?: number }) {
  return (
    <div className="bars" role="status" aria-label={`Loading ${props.what}`}>
      {Array.from({ length: props.lines ?? 6 }, (_, line) => (
        <div key={line} className="bar" />
      ))}
    </div>
  );
}

export function Failure(props: { error: unknown; onRetry?: () => void }) {
  const problem = asProblem(props.error);
  const [icon, title]: [IconName, string] = problem.offline
    ? ["wave", "The service doesn't answer"]
    : problem.status === 403
      ? ["lock", "Your key doesn't allow this"]
      : problem.status === 404
        ? ["file", "There is nothing here"]
        : ["warn", "That didn't work"];
  return (
    <div className="state bad" role="alert">
      <Icon name={icon} />
      <h2>{title}</h2>
      <p>{problem.message}</p>
      {problem.hint && <p>{problem.hint}</p>}
      {props.onRetry && problem.status !== 403 && problem.status !== 404 && (
        <Button icon="again" onPress={props.onRetry}>
          Try again
        </Button>
      )}
    </div>
  );
}

/** For a whole page that the caller's role may not see. */
export function NotAllowed(props: { who: string }) {
  return (
    <div className="state">
      <Icon name="lock" />
      <h2>This page is for {props.who}</h2>
      <p>Your key has another role. Sign in with another key, or ask whoever runs this service.</p>
    </div>
  );
}

export type Tone = "good" | "warn" | "bad" | "held" | "live" | "quiet";

export function Badge(props: { tone: Tone; children: ReactNode; plain?: boolean }) {
  return <span className={`badge tone-${props.tone}${props.plain ? " plain" : ""}`}>{props.children}</span>;
}

export function Notice(props: { tone: Tone; children: ReactNode; alert?: boolean }) {
  return (
    <div className={`notice tone-${props.tone}`} role={props.alert ? "alert" : undefined}>
      {props.children}
    </div>
  );
}
