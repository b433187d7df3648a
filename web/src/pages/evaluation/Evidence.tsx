/** What proves how a run was isolated: the layers as they were in force, what was looked at from outside, the hashes. */
import { useState } from "react";
import { asProblem } from "../../api/problem";
import { attestation } from "../../api/queries";
import type { Outcome } from "../../api/types";
import { Button } from "../../components/controls";
import { shortId } from "../../components/format";
import { Icon } from "../../components/Icon";
import { Panel } from "../../components/Panel";
import { save } from "../../components/save";
import { Notice } from "../../components/states";
import { isolationName, layerName } from "../../components/words";
import { Inert } from "../../guest/Inert";

export function Evidence({ id, outcome }: { id: string; outcome: Outcome }) {
  const { evidence } = outcome;
  const [wrong, setWrong] = useState<string | null>(null);
  const layers = Object.entries(evidence.layers);
  const active = layers.filter(([, layer]) => layer.active);
  const missing = layers.filter(([, layer]) => !layer.active);
  const before = evidence.posture?.before;
  const after = evidence.posture?.after;
  const differing = [...(before?.differing ?? []), ...(after?.differing ?? [])];

  const download = async (): Promise<void> => {
    setWrong(null);
    try {
      save(`attestation-${shortId(id)}.json`, await attestation(id));
    } catch (error) {
      setWrong(asProblem(error).message);
    }
  };

  return (
    <Panel
      title="Evidence"
      aside={
        evidence.attestation && (
          <Button compact icon="down" onPress={() => void download()}>
            Attestation
          </Button>
        )
      }
    >
      <div className="stack">
        {wrong && (
          <Notice tone="bad" alert>
            {wrong}
          </Notice>
        )}
        <p>
          {evidence.attestation
            ? "The attack suite was passed on this very configuration, and its result is signed."
            : "No attestation covers this configuration: the attack suite wasn't run on it."}
        </p>
        {before && (
          <p className={differing.length > 0 ? "evidence-bad" : "soft"}>
            {differing.length > 0
              ? `Seen from outside, ${differing.length} ${differing.length === 1 ? "fact wasn't" : "facts weren't"} as planned: ${differing.map((one) => `${one.name} (${one.seen})`).join("; ")}.`
              : `Looked at from outside, before and after: all ${before.as_planned + (after?.as_planned ?? 0)} facts were as planned.`}
          </p>
        )}
        {layers.length > 0 && (
          <details open={active.length < 6}>
            <summary>
              {active.length} layers in force
              {missing.length > 0 && `, ${missing.length} not`}
            </summary>
            <ul className="layers">
              {active.map(([name, layer]) => (
                <li key={name}>
                  <Icon name="check" />
                  <span>
                    {layerName(name)}
                    {layer.detail && <span className="soft"> {layer.detail}</span>}
                  </span>
                </li>
              ))}
              {missing.map(([name, layer]) => (
                <li key={name} className="layer-off">
                  <Icon name="cross" />
                  <span>
                    {layerName(name)}: <Inert text={layer.reason ?? "not in force"} />
                  </span>
                </li>
              ))}
            </ul>
          </details>
        )}
        <dl className="facts">
          <dt>Backend</dt>
          <dd>
            {outcome.backend} {evidence.backend_version}, {isolationName(evidence.isolation)}
          </dd>
          <dt>Kernel</dt>
          <dd className="mono">{evidence.kernel}</dd>
          {evidence.interpreter && (
            <>
              <dt>Interpreter</dt>
              <dd className="mono">{evidence.interpreter}</dd>
            </>
          )}
          <dt>Policy</dt>
          <dd>
            {evidence.policy} <Hash value={evidence.policy_hash} />
          </dd>
          <dt>Program</dt>
          <dd>
            <Hash value={evidence.code_hash} />
          </dd>
          {evidence.attestation && (
            <>
              <dt>Attestation</dt>
              <dd>
                <Hash value={evidence.attestation} />
              </dd>
            </>
          )}
        </dl>
      </div>
    </Panel>
  );
}

function Hash({ value }: { value: string }) {
  return (
    <code className="hash" title={value}>
      {value.length > 24 ? `${value.slice(0, 20)}…` : value}
    </code>
  );
}
