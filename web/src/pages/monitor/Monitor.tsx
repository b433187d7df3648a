/** How the service does right now and did within the last hours: queue, throughput, latency, outcomes, events. */
import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { reachable } from "../../api/client";
import type { StreamState } from "../../api/events";
import { parts, sandboxes, statistics } from "../../api/operator";
import { queue, useMe } from "../../api/queries";
import { useStore } from "../../api/store";
import { Button, ButtonLink, Select } from "../../components/controls";
import { milliseconds } from "../../components/format";
import { Badge, Failure, Loading, Notice } from "../../components/states";
import { useTitle } from "../../shell/title";
import { Charts } from "./Charts";
import { Firehose } from "./Firehose";
import "./monitor.css";

const RANGES = [
  { value: "15", label: "The last 15 minutes" },
  { value: "60", label: "The last hour" },
  { value: "360", label: "The last 6 hours" },
  { value: "1440", label: "The last day" },
];

function Tile(props: { name: string; value: string; under: string; tone?: "good" | "warn" | "bad" }) {
  return (
    <div className={`tile${props.tone ? ` tone-${props.tone}` : ""}`}>
      <dt>{props.name}</dt>
      <dd className="number">{props.value}</dd>
      <dd className="tile-under">{props.under}</dd>
    </div>
  );
}

function Tiles({ minutes, live }: { minutes: number; live: boolean }) {
  const now = useQuery({ ...queue, enabled: live });
  const numbers = useQuery(statistics(minutes, live));
  const open = useQuery({ ...sandboxes, refetchInterval: live ? 5_000 : false });
  const buckets = numbers.data?.buckets ?? [];
  const last = buckets.at(-1);
  const spent = buckets.slice(-Math.max(1, Math.ceil(300 / (numbers.data?.bucket_seconds ?? 300))));
  const done = (over: typeof buckets): number =>
    over.reduce((sum, { finished }) => sum + Object.values(finished).reduce((all, some) => all + some, 0), 0);
  const seconds = spent.length * (numbers.data?.bucket_seconds ?? 0);
  const all = done(buckets);
  const lost = buckets.reduce((sum, { failed }) => sum + failed, 0);
  const slow = [...buckets].reverse().find(({ latency_ms }) => latency_ms !== null)?.latency_ms;
  const waiting = now.data ? now.data.waiting + now.data.delayed : null;
  const oldest = now.data?.oldest_ms ?? null;
  const unknown = numbers.data ? "none yet" : "…";

  return (
    <dl className="tiles">
      <Tile
        name="Waiting"
        value={waiting === null ? "–" : waiting.toLocaleString("en")}
        under={oldest === null ? "nobody waits" : `the first for ${milliseconds(oldest)}`}
        {...(oldest !== null && oldest > 60_000 ? { tone: "warn" as const } : {})}
      />
      <Tile
        name="Running"
        value={now.data ? String(now.data.running) : "–"}
        under={now.data ? `of ${now.data.most_running} at one time` : ""}
      />
      <Tile
        name="Finished each minute"
        value={seconds > 0 ? ((done(spent) / seconds) * 60).toFixed(1) : "–"}
        under={numbers.data ? `${all.toLocaleString("en")} within this span` : unknown}
      />
      <Tile
        name="From asking to result"
        value={slow ? milliseconds(slow.p50) : "–"}
        under={slow ? `half of them; 99 of 100 within ${milliseconds(slow.p99)}` : unknown}
      />
      <Tile
        name="Couldn't be run"
        value={numbers.data ? lost.toLocaleString("en") : "–"}
        under={
          numbers.data ? (lost === 0 ? "Crucible itself failed at none" : "Crucible itself failed") : unknown
        }
        {...(lost > 0 ? { tone: "bad" as const } : {})}
      />
      <Tile
        name="Sandboxes"
        value={
          typeof last?.sandboxes === "number"
            ? String(last.sandboxes)
            : open.data
              ? `${open.data.sandboxes.length}${open.data.cursor ? "+" : ""}`
              : "–"
        }
        under={
          open.data
            ? `${open.data.sandboxes.length}${open.data.cursor ? " or more" : ""} kept open by clients`
            : "open now"
        }
      />
    </dl>
  );
}

function Standing() {
  const now = useQuery(queue);
  const health = useQuery(parts);
  const flow = now.data?.flow;
  return (
    <>
      {flow === "paused" && (
        <Notice tone="warn">
          <strong>The queue is paused.</strong> What is asked for is accepted and waits.
        </Notice>
      )}
      {flow === "draining" && (
        <Notice tone="warn">
          <strong>The queue is draining.</strong> Nothing new is accepted.
        </Notice>
      )}
      {health.data && !health.data.ready && (
        <Notice tone="bad">
          <strong>The service can't do its work.</strong> {health.data.unwell.join("; ")}
        </Notice>
      )}
    </>
  );
}

function Liveness({ stream, paused }: { stream: StreamState; paused: boolean }) {
  const answers = useStore(reachable);
  const [tone, words] = paused
    ? (["quiet", "Paused"] as const)
    : stream === "offline" || !answers
      ? (["warn", "Offline, reconnecting…"] as const)
      : stream === "live"
        ? (["good", "Live"] as const)
        : stream === "refused"
          ? (["bad", "Events refused"] as const)
          : (["quiet", "Connecting…"] as const);
  return (
    <span role="status">
      <Badge tone={tone}>{words}</Badge>
    </span>
  );
}

export default function Monitor() {
  useTitle("Monitor");
  const { may } = useMe();
  const [minutes, setMinutes] = useState("60");
  const [paused, setPaused] = useState(false);
  const [stream, setStream] = useState<StreamState>("connecting");
  const numbers = useQuery(statistics(Number(minutes), !paused));
  const held = useRef(numbers.data);
  useEffect(() => {
    if (!paused) held.current = numbers.data;
  }, [numbers.data, paused]);

  return (
    <div className="stack">
      <div className="page-head">
        <h1>Monitor</h1>
        <span className="grow">
          <Liveness stream={stream} paused={paused} />
        </span>
        <Select label="Span" hideLabel value={minutes} onChange={setMinutes} choices={RANGES} />
        <Button icon={paused ? "play" : "stop"} onPress={() => setPaused(!paused)}>
          {paused ? "Go on" : "Pause"}
        </Button>
        {may("admin") && (
          <ButtonLink href="/admin/components" icon="shield" look="plain">
            Components
          </ButtonLink>
        )}
      </div>
      <Standing />
      <Tiles minutes={Number(minutes)} live={!paused} />
      {numbers.data ? (
        <Charts statistics={(paused && held.current) || numbers.data} />
      ) : numbers.isPending ? (
        <Loading what="numbers over time" />
      ) : (
        <Failure error={numbers.error} onRetry={() => void numbers.refetch()} />
      )}
      <Firehose paused={paused} onState={setStream} />
    </div>
  );
}
