import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { asProblem } from "../../api/problem";
import { review } from "../../api/queries";
import type { Evaluation } from "../../api/types";
import { Button, Field } from "../../components/controls";
import { Panel } from "../../components/Panel";
import { Notice } from "../../components/states";
import { Inert } from "../../guest/Inert";

/** Where a reviewer decides about a program that its policy holds. */
export function ReviewPanel({ evaluation, may }: { evaluation: Evaluation; may: boolean }) {
  const cache = useQueryClient();
  const [reason, setReason] = useState("");
  const [wrong, setWrong] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const reasons = evaluation.admission?.reasons.filter((one) => one.decision === "hold") ?? [];

  const decide = async (decision: "approved" | "rejected"): Promise<void> => {
    if (reason.trim() === "") {
      setWrong("Say why: it is kept with the decision.");
      return;
    }
    setBusy(true);
    setWrong(null);
    try {
      await review(evaluation.id, decision, reason.trim());
      await cache.invalidateQueries({ queryKey: ["evaluation", evaluation.id] });
    } catch (error) {
      setWrong(asProblem(error).message);
    } finally {
      setBusy(false);
    }
  };

  return (
    <div className="review">
      <Panel title="Held for a person's decision">
        <div className="review-body">
          <div>
            <p>The policy doesn't let this program run by itself, because:</p>
            <ul className="reasons">
              {reasons.map((one, at) => (
                <li key={at}>
                  <Inert text={one.message} />
                </li>
              ))}
            </ul>
          </div>
          {may ? (
            <div className="review-form">
              <Field
                label="Why you decide so"
                lines
                value={reason}
                onChange={setReason}
                wrong={wrong}
                placeholder="I read it; it only looks at its own memory."
              />
              <div className="cluster">
                <Button look="main" icon="check" isDisabled={busy} onPress={() => void decide("approved")}>
                  Approve and run
                </Button>
                <Button look="bad" icon="cross" isDisabled={busy} onPress={() => void decide("rejected")}>
                  Reject
                </Button>
              </div>
            </div>
          ) : (
            <Notice tone="held">Only a reviewer can decide. It waits until one has.</Notice>
          )}
        </div>
      </Panel>
    </div>
  );
}
