/** Two evaluations side by side: what differs in the program, the output, the behaviour and the evidence. */
import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { Link, useLocation, useSearchParams } from "wouter";
import type { ReadEvaluation } from "../../api/document";
import { evaluation, specification } from "../../api/queries";
import { Button, ButtonLink, Field } from "../../components/controls";
import { bytes, milliseconds, moment, shortId } from "../../components/format";
import { Panel } from "../../components/Panel";
import { Badge, Empty, Failure, Loading } from "../../components/states";
import { isolationName, layerName, standing, validity } from "../../components/words";
import { Inert } from "../../guest/Inert";
import { useTitle } from "../../shell/title";
import { TextDiff } from "./TextDiff";
import "./compare.css";

export default function Compare() {
  useTitle("Compare");
  const [params] = useSearchParams();
  const a = params.get("a");
  const b = params.get("b");
  if (!a || !b) return <Choose a={a ?? ""} b={b ?? ""} />;
  return <Both a={a} b={b} />;
}

function Choose(props: { a: string; b: string }) {
  const [a, setA] = useState(props.a);
  const [b, setB] = useState(props.b);
  const [, go] = useLocation();
  return (
    <>
      <div className="page-head">
        <h1>Compare</h1>
      </div>
      <div className="panel">
        <Empty title="Which two?" icon="sides">
          <p>Select two in the list of evaluations, or give their ids.</p>
          <div className="compare-choose">
            <Field label="First" value={a} onChange={setA} />
            <Field label="Second" value={b} onChange={setB} />
          </div>
          <div className="cluster">
            <Button
              look="main"
              isDisabled={a.trim() === "" || b.trim() === ""}
              onPress={() =>
                go(`/compare?a=${encodeURIComponent(a.trim())}&b=${encodeURIComponent(b.trim())}`)
              }
            >
              Compare
            </Button>
            <ButtonLink href="/evaluations">To the list</ButtonLink>
          </div>
        </Empty>
      </div>
    </>
  );
}

function Both({ a, b }: { a: string; b: string }) {
  const first = useQuery(evaluation(a));
  const second = useQuery(evaluation(b));
  const specA = useQuery(specification(a));
  const specB = useQuery(specification(b));
  const [, go] = useLocation();
  const broken = first.error ? first : second.error ? second : null;
  if (broken) return <Failure error={broken.error} onRetry={() => void broken.refetch()} />;
  if (!first.data || !second.data) return <Loading what="the two evaluations" lines={9} />;
  const [one, other] = [first.data, second.data];

  return (
    <>
      <div className="page-head">
        <div className="grow">
          <h1>Compare</h1>
          <p className="small">What is the same on both sides is quiet; what differs is marked.</p>
        </div>
        <Button compact onPress={() => go(`/compare?a=${b}&b=${a}`, { replace: true })}>
          Swap sides
        </Button>
      </div>
      <div className="stack">
        <Overview one={one} other={other} />
        <Panel title="The program" flush>
          {specA.isPending || specB.isPending ? (
            <Loading what="the programs" lines={3} />
          ) : (
            <TextDiff
              before={specA.data?.code ?? ""}
              after={specB.data?.code ?? ""}
              same="Both ran the same program."
              empty="Neither was given as text."
            />
          )}
        </Panel>
        <Panel title="Standard output" flush>
          <TextDiff
            before={one.stdout}
            after={other.stdout}
            same="Both wrote the same."
            empty="Neither wrote anything."
          />
        </Panel>
        {(one.stderr.length > 0 || other.stderr.length > 0) && (
          <Panel title="Standard error" flush>
            <TextDiff before={one.stderr} after={other.stderr} same="Both wrote the same." empty="" />
          </Panel>
        )}
        <Panel title="What they tried">
          <Sides
            one={deeds(one)}
            other={deeds(other)}
            none="Nothing out of the ordinary was seen in either."
            show={(text) => <Inert text={text} />}
          />
        </Panel>
        <Panel title="What the scanner saw">
          <Sides
            one={found(one)}
            other={found(other)}
            none="Nothing in either."
            show={(text) => <Inert text={text} />}
          />
        </Panel>
        <Panel title="Layers in force">
          <Sides
            one={layers(one)}
            other={layers(other)}
            none="There was no sandbox in either."
            show={(text) => text}
            quiet
          />
        </Panel>
      </div>
    </>
  );
}

const deeds = (read: ReadEvaluation): string[] =>
  (read.evaluation.outcome?.behavior ?? []).map((deed) => `${deed.kind.replaceAll("_", " ")}: ${deed.name}`);
const found = (read: ReadEvaluation): string[] =>
  (read.evaluation.outcome?.findings ?? read.evaluation.findings ?? []).map(
    (finding) => `${finding.severity} ${finding.rule}, line ${finding.line}`,
  );
const layers = (read: ReadEvaluation): string[] =>
  Object.entries(read.evaluation.outcome?.evidence.layers ?? {})
    .filter(([, layer]) => layer.active)
    .map(([name]) => layerName(name));

function Overview({ one, other }: { one: ReadEvaluation; other: ReadEvaluation }) {
  const row = (
    name: string,
    of: (read: ReadEvaluation) => string,
    show?: (read: ReadEvaluation) => ReactNode,
  ) => {
    const differs = of(one) !== of(other);
    return (
      <tr key={name} data-differs={differs || undefined}>
        <th scope="row">{name}</th>
        <td>{show ? show(one) : of(one)}</td>
        <td>{show ? show(other) : of(other)}</td>
      </tr>
    );
  };
  const stands = ({ evaluation: { state, outcome } }: ReadEvaluation) =>
    standing(state, outcome?.status, outcome?.exit_code);
  const outcome = (read: ReadEvaluation) => read.evaluation.outcome;
  return (
    <section className="panel scroll-x" aria-label="Overview">
      <table className="table compare-table">
        <thead>
          <tr>
            <th scope="col">
              <span className="unseen">What</span>
            </th>
            {[one, other].map(({ evaluation: { id } }, at) => (
              <th key={at} scope="col">
                <Link href={`/evaluations/${id}`} className="mono" title={id}>
                  {shortId(id)}
                </Link>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {row(
            "How it stands",
            (read) => stands(read).label,
            (read) => (
              <Badge tone={stands(read).tone}>{stands(read).label}</Badge>
            ),
          )}
          {row("Result", (read) => validity(read.evaluation.validity)?.label ?? "–")}
          {row("Backend", (read) => outcome(read)?.backend ?? "–")}
          {row("Wall", (read) => isolationName(outcome(read)?.evidence.isolation))}
          {row("Policy", (read) => outcome(read)?.evidence.policy ?? "–")}
          {row("Took", (read) => milliseconds(outcome(read)?.usage.wall_ms))}
          {row("Processor time", (read) => milliseconds(outcome(read)?.usage.cpu_ms))}
          {row("Most memory", (read) => bytes(outcome(read)?.usage.memory_peak_bytes))}
          {row("Most processes", (read) => String(outcome(read)?.usage.processes_peak ?? "–"))}
          {row("Output", (read) => bytes(read.stdout.length + read.stderr.length))}
          {row("Attestation", (read) => (outcome(read)?.evidence.attestation ?? "none").slice(0, 24))}
          {row(
            "Asked for",
            () => "",
            (read) => moment(read.evaluation.created_at),
          )}
        </tbody>
      </table>
    </section>
  );
}

/** Two lists: what only one has is marked, what both have comes last. */
function Sides(props: {
  one: string[];
  other: string[];
  none: string;
  show: (text: string) => ReactNode;
  quiet?: boolean;
}) {
  const one = new Set(props.one);
  const other = new Set(props.other);
  const only = [...one].filter((text) => !other.has(text));
  const added = [...other].filter((text) => !one.has(text));
  const both = [...one].filter((text) => other.has(text));
  if (one.size + other.size === 0) return <p className="soft">{props.none}</p>;
  return (
    <div className="sides">
      {only.length + added.length === 0 && <p className="soft">The same {both.length} in both.</p>}
      <ul className="sides-lists">
        {only.map((text) => (
          <li key={`a${text}`} className="side-first">
            <span className="side-name">only first</span> {props.show(text)}
          </li>
        ))}
        {added.map((text) => (
          <li key={`b${text}`} className="side-second">
            <span className="side-name">only second</span> {props.show(text)}
          </li>
        ))}
        {!props.quiet &&
          both.map((text) => (
            <li key={`c${text}`} className="soft">
              <span className="side-name">both</span> {props.show(text)}
            </li>
          ))}
      </ul>
    </div>
  );
}
