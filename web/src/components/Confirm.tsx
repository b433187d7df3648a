/** Asks before something that can't be taken back, and names what it will do. */
import { type ReactNode, useState } from "react";
import { asProblem } from "../api/problem";
import { Button, Dialog, Field } from "./controls";
import { Notice } from "./states";

export interface Question {
  title: string;
  /** What will happen, in sentences. */
  body: ReactNode;
  /** What the button says: a verb. */
  action: string;
  /** A word that has to be typed before. */
  typed?: string;
  run: () => Promise<unknown>;
}

export function Confirm(props: { question: Question | null; onClose: () => void }) {
  const { question } = props;
  return (
    <Dialog
      title={question?.title ?? ""}
      isOpen={question !== null}
      onClose={props.onClose}
      role="alertdialog"
    >
      {question && <Body key={question.title} question={question} onClose={props.onClose} />}
    </Dialog>
  );
}

function Body({ question, onClose }: { question: Question; onClose: () => void }) {
  const [busy, setBusy] = useState(false);
  const [typed, setTyped] = useState("");
  const [wrong, setWrong] = useState<unknown>(null);
  const act = async (): Promise<void> => {
    setBusy(true);
    setWrong(null);
    try {
      await question.run();
      onClose();
    } catch (error) {
      setWrong(error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <div className="stack">{question.body}</div>
      {question.typed !== undefined && (
        <Field label={`Type ${question.typed} to go on`} value={typed} onChange={setTyped} autoFocus />
      )}
      {wrong !== null && <Wrong error={wrong} />}
      <div className="ends">
        <Button onPress={onClose}>Leave it</Button>
        <Button
          look="bad"
          isDisabled={busy || (question.typed !== undefined && typed !== question.typed)}
          onPress={() => void act()}
        >
          {busy ? "Working…" : question.action}
        </Button>
      </div>
    </>
  );
}

/** What went wrong with something that was asked for, in place. */
export function Wrong({ error }: { error: unknown }) {
  const problem = asProblem(error);
  return (
    <Notice tone="bad" alert>
      <strong>{problem.status === 403 ? "Your key doesn't allow this." : "That didn't work."}</strong>
      <span>{problem.message}</span>
      {problem.hint && <span>{problem.hint}</span>}
    </Notice>
  );
}
