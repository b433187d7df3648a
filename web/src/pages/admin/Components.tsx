import { useQuery } from "@tanstack/react-query";
import { type Component, parts } from "../../api/operator";
import { ago, milliseconds, moment } from "../../components/format";
import { Said } from "../../components/Said";
import { Badge, Failure, Loading, Notice, type Tone } from "../../components/states";
import { Head } from "./Head";

function standing(part: Component): { tone: Tone; label: string } {
  if (part.absent) return { tone: "quiet", label: "Not on this machine" };
  if (part.healthy) return { tone: "good", label: "Well" };
  return { tone: "bad", label: part.total === 0 ? "Not tested" : "Unwell" };
}

export function Components() {
  const asked = useQuery(parts);
  if (asked.isPending) return <Loading what="components" lines={9} />;
  if (asked.isError && !asked.data)
    return <Failure error={asked.error} onRetry={() => void asked.refetch()} />;
  const { ready, unwell, components } = asked.data;
  const here = components.filter(({ absent }) => !absent);
  const ill = here.filter(({ healthy }) => !healthy);
  return (
    <>
      <Head
        title="Components"
        about="Every part tests itself at the start and each minute after. What fails says how it is mended, and is out of use until its test passes again."
      />
      {ready ? (
        <Notice tone={ill.length > 0 ? "warn" : "good"}>
          <strong>The service can do its work.</strong>
          <span>
            {ill.length > 0
              ? `Not well: ${ill.map(({ component }) => component).join(", ")}.`
              : `All ${here.length} parts are well.`}
          </span>
        </Notice>
      ) : (
        <Notice tone="bad" alert>
          <strong>The service can't do its work.</strong>
          <span>{unwell.join("; ")}</span>
        </Notice>
      )}
      {[ill, here.filter(({ healthy }) => healthy), components.filter(({ absent }) => absent)]
        .filter((group) => group.length > 0)
        .map((group) => (
          <div key={group[0]?.component} className="parts">
            {group.map((part) => (
              <Part key={part.component} part={part} />
            ))}
          </div>
        ))}
    </>
  );
}

function Part({ part }: { part: Component }) {
  const { tone, label } = standing(part);
  const failed = part.checks.filter(({ status }) => status !== "passed");
  const passed = part.checks.filter(({ status }) => status === "passed");
  return (
    <section className="panel part" aria-label={part.component}>
      <div className="part-head">
        <h2 className="grow">{part.component}</h2>
        <span className="soft small number">{part.absent ? "" : `${part.passed}/${part.total}`}</span>
        <Badge tone={tone}>{label}</Badge>
      </div>
      {failed.length > 0 && (
        <ul className="checks">
          {failed.map((check) => (
            <li key={check.name}>
              <strong>{check.name}</strong>
              <span className="soft">{check.seen}</span>
              {check.mend && (
                <span className="mend">
                  <b>How to mend it:</b> <Said text={check.mend} />
                </span>
              )}
            </li>
          ))}
        </ul>
      )}
      {!part.absent && part.history && part.history.length > 0 && (
        <History part={part} history={part.history} />
      )}
      {passed.length > 0 && (
        <details className="small">
          <summary>
            {passed.length} {passed.length === 1 ? "check" : "checks"} passed
          </summary>
          <ul className="checks">
            {passed.map((check) => (
              <li key={check.name}>
                {check.name}
                <span className="soft">{check.seen}</span>
              </li>
            ))}
          </ul>
        </details>
      )}
      <p className="small soft part-when" title={part.tested_at}>
        Tested {ago(part.tested_at)}
        {part.absent ? "" : ` in ${milliseconds(part.took_ms)}`}
      </p>
    </section>
  );
}

function History({ part, history }: { part: Component; history: NonNullable<Component["history"]> }) {
  const ordered = [...history].sort((a, b) => a.at.localeCompare(b.at));
  const bad = ordered.filter(({ passed, total }) => passed < total);
  const last = bad.at(-1);
  return (
    <div className="history">
      <div
        className="ticks"
        role="img"
        aria-label={`The last ${ordered.length} tests of ${part.component}: ${bad.length} failed`}
      >
        {ordered.map((test) => (
          <span
            key={test.at}
            className={test.passed === test.total ? (test.total === 0 ? "tick none" : "tick") : "tick bad"}
            title={`${moment(test.at)}: ${test.passed} of ${test.total}${test.failed.length > 0 ? `; failed: ${test.failed.join(", ")}` : ""}`}
          />
        ))}
      </div>
      <span className="small soft">
        {bad.length === 0
          ? `well in the last ${ordered.length} tests`
          : `${bad.length} of the last ${ordered.length} failed, the last one ${ago(last?.at)}`}
      </span>
    </div>
  );
}
