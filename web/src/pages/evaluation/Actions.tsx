import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useLocation } from "wouter";
import { asProblem } from "../../api/problem";
import { backends, cancel, rerun, useMe } from "../../api/queries";
import { type Evaluation, isFinal } from "../../api/types";
import { CopyButton } from "../../components/CopyButton";
import { Button, ButtonLink, Dialog, Select } from "../../components/controls";
import { Notice } from "../../components/states";
import { isolationName } from "../../components/words";

const SAME = "same";

/** What can be done about an evaluation, as far as the caller may. */
export function Actions({ evaluation }: { evaluation: Evaluation }) {
  const { id } = evaluation;
  const [, go] = useLocation();
  const { may } = useMe();
  const cache = useQueryClient();
  const [asking, setAsking] = useState(false);
  const [backend, setBackend] = useState(SAME);
  const [wrong, setWrong] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const present = useQuery({ ...backends, enabled: asking });

  const act = async (what: () => Promise<void>): Promise<void> => {
    setBusy(true);
    setWrong(null);
    try {
      await what();
    } catch (error) {
      setWrong(asProblem(error).message);
    } finally {
      setBusy(false);
    }
  };

  return (
    <div className="cluster actions">
      <CopyButton icon="share" label="Copy link" text={() => location.href} />
      <ButtonLink href={`/?from=${id}`} compact>
        Open in playground
      </ButtonLink>
      {may("submitter") && (
        <Button compact icon="again" onPress={() => setAsking(true)}>
          Run again
        </Button>
      )}
      {!isFinal(evaluation.state) && may("submitter") && (
        <Button
          compact
          look="bad"
          icon="stop"
          isDisabled={busy || (evaluation.cancel_requested ?? false)}
          onPress={() =>
            void act(async () => {
              await cancel(id);
              await cache.invalidateQueries({ queryKey: ["evaluation", id] });
            })
          }
        >
          {evaluation.cancel_requested ? "Being cancelled" : "Cancel"}
        </Button>
      )}
      {wrong && !asking && (
        <Notice tone="bad" alert>
          {wrong}
        </Notice>
      )}
      <Dialog title="Run it again" isOpen={asking} onClose={() => setAsking(false)}>
        <p className="soft">As a new evaluation, with the same program, files, limits and policy.</p>
        <Select
          label="Backend"
          value={backend}
          onChange={setBackend}
          choices={[
            { value: SAME, label: "The same choice as before" },
            ...(present.data?.backends ?? []).map((one) => ({
              value: one.backend,
              label: one.backend,
              explained: one.in_use ? isolationName(one.isolation) : (one.out_because ?? "out of use"),
            })),
          ]}
        />
        {wrong && (
          <Notice tone="bad" alert>
            {wrong}
          </Notice>
        )}
        <div className="ends">
          <Button onPress={() => setAsking(false)}>Leave it</Button>
          <Button
            look="main"
            isDisabled={busy}
            onPress={() =>
              void act(async () => {
                const { id: next } = await rerun(id, backend === SAME ? undefined : backend);
                setAsking(false);
                go(`/evaluations/${next}`);
              })
            }
          >
            Run again
          </Button>
        </div>
      </Dialog>
    </div>
  );
}
