/** Every event of the service as it comes. At most 2000 are held; while paused at most as many wait. */
import { useDeferredValue, useEffect, useMemo, useRef, useState } from "react";
import { Link } from "wouter";
import { type StreamState, useEvents } from "../../api/events";
import type { EvaluationEvent } from "../../api/types";
import { Button, Field, Select } from "../../components/controls";
import { shortId } from "../../components/format";
import { Panel } from "../../components/Panel";
import { eventName } from "../../components/words";
import { Inert } from "../../guest/Inert";
import { VirtualRows } from "../../guest/VirtualRows";
import { inWords, kindTone } from "./event-words";
import { Ring } from "./ring";

const MOST = 2000;
const ROW = 30;

const GROUPS = [
  { value: "all", label: "Every event", kinds: "" },
  {
    value: "life",
    label: "From asking to end",
    kinds:
      "submitted,held,approved,rejected,reviewed,started,retried,put_back,finished,failed,cancelled,dead",
  },
  {
    value: "sandbox",
    label: "Sandboxes and programs",
    kinds: "backend_chosen,screened,sandbox_created,command_started,command_ended,sandbox_destroyed",
  },
  { value: "seen", label: "What was seen and stopped", kinds: "behavior_seen,limit_reached" },
  { value: "output", label: "Output", kinds: "output_produced" },
  { value: "trouble", label: "Trouble", kinds: "failed,dead,retried,put_back,limit_reached" },
];

const clock = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});

export function Firehose(props: { paused: boolean; onState: (state: StreamState) => void }) {
  const { paused, onState } = props;
  const [group, setGroup] = useState("all");
  const [search, setSearch] = useState("");
  const kinds = GROUPS.find(({ value }) => value === group)?.kinds ?? "";

  const shown = useRef(new Ring<EvaluationEvent>(MOST));
  const later = useRef(new Ring<EvaluationEvent>(MOST));
  const [rows, setRows] = useState<readonly EvaluationEvent[]>([]);
  const [came, setCame] = useState({ total: 0, waiting: 0 });
  const total = useRef(0);
  const due = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const isPaused = useRef(paused);
  isPaused.current = paused;

  const flush = useRef(() => {});
  flush.current = () => {
    due.current = undefined;
    if (!isPaused.current && later.current.all.length > 0) {
      shown.current.add([...later.current.all]);
      later.current.clear();
    }
    setRows(shown.current.all);
    setCame({
      total: total.current,
      waiting: isPaused.current ? later.current.all.length + later.current.forgotten : 0,
    });
  };
  useEffect(() => {
    if (!paused) flush.current();
  }, [paused]);
  useEffect(() => () => clearTimeout(due.current), []);

  const state = useEvents(`/v1/events${kinds === "" ? "" : `?kind=${kinds}`}`, (events) => {
    total.current += events.length;
    // Events wait a little and are drawn together, however fast they come.
    later.current.add(events);
    due.current ??= setTimeout(() => flush.current(), 150);
  });
  useEffect(() => onState(state), [state, onState]);

  const wanted = useDeferredValue(search.trim().toLowerCase());
  const found = useMemo(() => {
    const allowed = kinds === "" ? null : new Set(kinds.split(","));
    return rows.filter(
      (event) =>
        (allowed === null || allowed.has(event.kind)) &&
        (wanted === "" ||
          event.evaluation.includes(wanted) ||
          event.project.toLowerCase().includes(wanted) ||
          event.kind.includes(wanted) ||
          eventName(event.kind).toLowerCase().includes(wanted) ||
          inWords(event).toLowerCase().includes(wanted)),
    );
  }, [rows, kinds, wanted]);

  const clear = (): void => {
    shown.current.clear();
    later.current.clear();
    total.current = 0;
    flush.current();
  };

  return (
    <Panel
      title="Events"
      flush
      aside={
        <>
          <span className="soft small number" role="status">
            {paused && came.waiting > 0
              ? `${came.waiting.toLocaleString("en")} came meanwhile`
              : `${came.total.toLocaleString("en")} came${came.total > MOST ? `; the newest ${MOST.toLocaleString("en")} are kept` : ""}`}
          </span>
          <Button compact look="plain" icon="cross" onPress={clear}>
            Clear
          </Button>
        </>
      }
    >
      <div className="firehose-filters">
        <Select
          label="Kind"
          hideLabel
          value={group}
          onChange={setGroup}
          choices={GROUPS.map(({ value, label }) => ({ value, label }))}
        />
        <Field
          label="Find an event"
          hideLabel
          type="search"
          value={search}
          onChange={setSearch}
          placeholder="a piece of an id, a project or a word"
        />
      </div>
      {found.length === 0 ? (
        <p className="firehose-none soft">
          {rows.length > 0
            ? "No event that came fits the filter."
            : state === "offline"
              ? "The service doesn't answer. Events that happened meanwhile come as soon as it does."
              : "Nothing has happened since you opened this. Events are shown as they come."}
        </p>
      ) : (
        <VirtualRows
          count={found.length}
          rowHeight={ROW}
          label="Events, the newest last"
          followEnd
          className="firehose"
        >
          {(from, to) =>
            found.slice(from, to).map((event) => (
              <div key={event.global} className="firehose-row">
                <span className="number soft">
                  {clock.format(new Date(event.at))}
                  <span className="firehose-milliseconds">{event.at.slice(19, 23)}</span>
                </span>
                <Link href={`/evaluations/${event.evaluation}`} className="mono">
                  {shortId(event.evaluation)}
                </Link>
                <span className={`firehose-kind tone-${kindTone(event.kind)}`}>{eventName(event.kind)}</span>
                <span className="firehose-words">
                  <Inert text={inWords(event)} />
                </span>
                <span className="firehose-project soft">{event.project}</span>
              </div>
            ))
          }
        </VirtualRows>
      )}
    </Panel>
  );
}
