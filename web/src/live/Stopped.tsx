/** What a program tried, and what stopped it: behaviour with the findings that foretold it. */
import type { Behavior, Finding } from "../api/types";
import { milliseconds } from "../components/format";
import { Icon } from "../components/Icon";
import { Badge } from "../components/states";
import { severityTone, stoppedBy, stopperName } from "../components/words";
import { Inert } from "../guest/Inert";
import "./stopped.css";

export function Behaviour({ behavior }: { behavior: Behavior[] }) {
  return (
    <ul className="deeds">
      {behavior.map((deed, at) => {
        const layer = stoppedBy(deed.kind, deed.name);
        return (
          <li key={at}>
            <span className={`deed-sign tone-${layer ? "good" : "quiet"}`}>
              <Icon name={layer ? "shield" : "eye"} />
            </span>
            <div>
              <p className="deed-words">
                <Inert text={deed.message ?? `${deed.kind}: ${deed.name}`} />
              </p>
              <p className="deed-more">
                {layer ? (
                  <>
                    Stopped by <strong>{stopperName(layer)}</strong>
                  </>
                ) : (
                  "Seen, not stopped"
                )}
                {deed.count > 1 && <span>{deed.count} times</span>}
                {deed.first_at_ms !== null && deed.first_at_ms !== undefined && (
                  <span>first at {milliseconds(deed.first_at_ms)}</span>
                )}
                {(deed.foretold_by?.length ?? 0) > 0 && <span>foretold by the scanner</span>}
              </p>
            </div>
          </li>
        );
      })}
    </ul>
  );
}

export function Findings(props: { findings: Finding[]; onLine?: (line: number) => void }) {
  return (
    <ul className="findings">
      {props.findings.map((finding, at) => (
        <li key={at}>
          <Badge tone={severityTone[finding.severity] ?? "quiet"} plain>
            {finding.severity}
          </Badge>
          <div>
            <p>
              <Inert text={finding.message} />
            </p>
            <p className="deed-more">
              <span className="mono">{finding.rule}</span>
              <span>
                {finding.file && finding.file !== "" && (
                  <>
                    <Inert text={finding.file} />,{" "}
                  </>
                )}
                line {finding.line}
              </span>
            </p>
          </div>
        </li>
      ))}
    </ul>
  );
}
