/** One property: what was tried on each backend, what happened, and what the control arm shows. */
import { useEffect, useState } from "react";
import { Dialog as AriaDialog, Heading, Modal, ModalOverlay } from "react-aria-components";
import type { Arm } from "../../api/operator";
import { Button } from "../../components/controls";
import { milliseconds, moment } from "../../components/format";
import { Badge } from "../../components/states";
import { layerName } from "../../components/words";
import { Inert } from "../../guest/Inert";
import type { Cell, Matrix, Row } from "./matrix";
import { expectations, groupName, reaches, verdicts } from "./words";

export function Drawer(props: {
  row: Row | null;
  rows: Row[];
  columns: string[];
  /** The backend that was asked for; it comes first. */
  first: string | null;
  matrix: Matrix;
  onShow: (property: string | null, backend?: string) => void;
  onRun: ((backend: string, property: string) => void) | null;
}) {
  const { row } = props;
  const at = row ? props.rows.indexOf(row) : -1;
  const before = props.rows[at - 1];
  const after = props.rows[at + 1];
  const go = (to: Row | undefined): void => {
    if (to) props.onShow(to.id, props.first ?? undefined);
  };
  return (
    <ModalOverlay
      className="veil drawer-veil"
      isOpen={row !== null}
      onOpenChange={(open) => {
        if (!open) props.onShow(null);
      }}
      isDismissable
    >
      <Modal className="drawer-frame">
        <AriaDialog className="drawer">
          {row && (
            <>
              <div className="drawer-head">
                <span className="grow soft small">
                  {groupName(row.group)} · {at + 1} of {props.rows.length}
                </span>
                <Button compact look="plain" isDisabled={!before} onPress={() => go(before)}>
                  Previous
                </Button>
                <Button compact look="plain" isDisabled={!after} onPress={() => go(after)}>
                  Next
                </Button>
                <Button
                  compact
                  look="plain"
                  icon="cross"
                  aria-label="Close"
                  onPress={() => props.onShow(null)}
                />
              </div>
              <Body key={row.id} {...props} row={row} />
            </>
          )}
        </AriaDialog>
      </Modal>
    </ModalOverlay>
  );
}

function Body(props: Parameters<typeof Drawer>[0] & { row: Row }) {
  const { row, columns, matrix } = props;
  const tried = columns.filter((backend) => matrix.cells.get(backend)?.has(row.id));
  const [backend, setBackend] = useState(
    props.first && tried.includes(props.first) ? props.first : (tried[0] ?? ""),
  );
  useEffect(() => {
    if (props.first && tried.includes(props.first)) setBackend(props.first);
  }, [props.first, tried.includes]);
  const cell = matrix.cells.get(backend)?.get(row.id);
  const { onRun } = props;
  return (
    <div className="stack">
      <Heading slot="title" level={2} className="drawer-title">
        {row.statement}
      </Heading>
      <p className="small soft">
        <code>{row.id}</code>. What isolation is expected to do: {expectations[row.expected] ?? row.expected}.
        {row.references.length > 0 && <> Guards against {row.references.join(", ")}.</>}
      </p>
      <fieldset className="backends-choice">
        <legend className="unseen">Backend</legend>
        {tried.map((name) => {
          const verdict = verdicts[matrix.cells.get(name)?.get(row.id)?.property.verdict ?? "not_applicable"];
          return (
            <button
              key={name}
              type="button"
              className="backend-choice"
              aria-pressed={name === backend}
              onClick={() => setBackend(name)}
            >
              <span className={`sign tone-${verdict.tone}`} aria-hidden="true">
                {verdict.sign}
              </span>
              {name}
              <span className="unseen">: {verdict.label}</span>
            </button>
          );
        })}
      </fieldset>
      {cell && <Evidence cell={cell} />}
      {cell && onRun && (
        <div>
          <Button compact icon="again" onPress={() => onRun(backend, row.id)}>
            Try this again on {backend}
          </Button>
        </div>
      )}
    </div>
  );
}

function Evidence({ cell }: { cell: Cell }) {
  const { property, suite, run } = cell;
  const verdict = verdicts[property.verdict];
  return (
    <>
      <div className={`verdict tone-${verdict.tone}`}>
        <h3>
          <span aria-hidden="true">{verdict.sign}</span> {verdict.label}
        </h3>
        <p className="small">{verdict.means}</p>
        {property.reason !== property.protected?.seen && (
          <p className="small">
            Why: <Inert text={property.reason} />
          </p>
        )}
      </div>
      {(property.protected || property.control) && (
        <div className="arms">
          <ArmView title="In the sandbox as it is used" arm={property.protected} good="not_reached" />
          <ArmView title="Control: protection left off" arm={property.control} good="reached">
            {property.control && (
              <p className="small soft">
                {property.control.without.length > 0
                  ? `Without ${property.control.without.map(layerName).join(", ")}`
                  : "No layer holds this one; the control arm has another limit or another reader."}
              </p>
            )}
          </ArmView>
        </div>
      )}
      {property.held_by && (
        <dl className="facts">
          <dt>Each of these holds it alone</dt>
          <dd>{property.held_by.alone.map(layerName).join(", ") || "none"}</dd>
          <dt>It rests on each of</dt>
          <dd>{property.held_by.needed.map(layerName).join(", ") || "none"}</dd>
          {property.held_by.unknown.length > 0 && (
            <>
              <dt>Couldn't be found out for</dt>
              <dd>{property.held_by.unknown.map(layerName).join(", ")}</dd>
            </>
          )}
        </dl>
      )}
      <details className="small">
        <summary>Evidence of this run</summary>
        <dl className="facts">
          <dt>Tried</dt>
          <dd title={suite.started}>{moment(suite.started)}</dd>
          <dt>Run</dt>
          <dd className="mono">{run.id}</dd>
          <dt>Kernel</dt>
          <dd>{cell.kernel || "–"}</dd>
          <dt>Policy</dt>
          <dd>{cell.policy || "–"}</dd>
          <dt>Suite</dt>
          <dd className="mono">{suite.suite}</dd>
          <dt>Attestation</dt>
          <dd className="mono">{suite.attestation ?? "none"}</dd>
        </dl>
      </details>
    </>
  );
}

function ArmView(props: {
  title: string;
  arm: Arm | null | undefined;
  good: Arm["reach"];
  children?: React.ReactNode;
}) {
  const { arm } = props;
  return (
    <section className="arm" aria-label={props.title}>
      <h3>{props.title}</h3>
      {arm ? (
        <>
          <Badge tone={arm.reach === props.good ? "good" : arm.reach === "unproven" ? "warn" : "bad"}>
            {reaches[arm.reach].label}
          </Badge>
          <p>
            The host saw: <Inert text={arm.seen} />
          </p>
          {props.children}
          <p className="small soft number">{milliseconds(arm.took_ms)}</p>
        </>
      ) : (
        <p className="soft small">Not run.</p>
      )}
    </section>
  );
}
