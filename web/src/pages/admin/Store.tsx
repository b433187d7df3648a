import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import {
  backUp,
  checkStore,
  forget,
  type StoreChecked,
  type StoreForgotten,
  settings,
} from "../../api/operator";
import { Confirm, type Question, Wrong } from "../../components/Confirm";
import { Button, Field } from "../../components/controls";
import { bytes, count } from "../../components/format";
import { Panel } from "../../components/Panel";
import { Notice } from "../../components/states";
import { Head } from "./Head";
import { useAct } from "./useAct";

/** `backup-2026-01-31-1405`: a folder's name that sorts by time. */
function nameNow(): string {
  return `backup-${new Date().toISOString().slice(0, 16).replace("T", "-").replace(":", "")}`;
}

const DURATION = /^\d+\s*(s|m|min|h|d|day|days|w|week|weeks)$/;
const SIZE = /^\d+\s*(B|KiB|MiB|GiB|TiB)$/;

export function Store() {
  const known = useQuery(settings);
  const keep = known.data?.find(({ key }) => key === "serve.keep")?.value;
  return (
    <>
      <Head
        title="Retention and backup"
        about="Care for what the service keeps. All of it is done while the service goes on."
      />
      <div className="two">
        <Check />
        <Backup />
      </div>
      <Forget keep={typeof keep === "string" ? keep : null} />
    </>
  );
}

function Check() {
  const { busy, wrong, act } = useAct();
  const [found, setFound] = useState<StoreChecked | null>(null);
  return (
    <Panel title="Check">
      <div className="stack">
        <p className="small soft">Reads every evaluation and every file, and compares each with its hash.</p>
        {found &&
          (found.sound ? (
            <Notice tone="good">
              <strong>Nothing is damaged.</strong>
              <span>
                {count(found.evaluations)} evaluations and {count(found.blobs)} files were read
                {found.orphans > 0 &&
                  `; ${count(found.orphans)} files belong to nothing and go with the next collection`}
                .
              </span>
            </Notice>
          ) : (
            <Notice tone="bad" alert>
              <strong>Something is damaged.</strong>
              <ul className="checks">
                {found.damage.map((line) => (
                  <li key={line}>{line}</li>
                ))}
              </ul>
            </Notice>
          ))}
        {wrong !== null && <Wrong error={wrong} />}
        <div>
          <Button isDisabled={busy} onPress={() => void act(async () => setFound(await checkStore()))}>
            {busy ? "Reading…" : "Check everything"}
          </Button>
        </div>
      </div>
    </Panel>
  );
}

function Backup() {
  const { busy, wrong, act } = useAct();
  const [name, setName] = useState(nameNow);
  const [done, setDone] = useState<string | null>(null);
  const bad = /^[A-Za-z0-9._-]{1,100}$/.test(name) ? null : "ASCII letters, digits, and -_. alone.";
  return (
    <Panel title="Backup">
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          if (bad) return;
          setDone(null);
          void act(async () => {
            await backUp(name);
            setDone(name);
          });
        }}
      >
        <p className="small soft">
          Copies everything into a folder below <code>backups/</code>. A copy is a service's folder again:
          start a service with it to go back.
        </p>
        <Field label="What the folder is called" value={name} onChange={setName} wrong={bad} />
        {done && (
          <Notice tone="good">
            <strong>The copy is made:</strong> <code>backups/{done}</code>
          </Notice>
        )}
        {wrong !== null && <Wrong error={wrong} />}
        <div>
          <Button type="submit" isDisabled={busy || bad !== null}>
            {busy ? "Copying…" : "Make a backup"}
          </Button>
        </div>
      </form>
    </Panel>
  );
}

function Forget({ keep }: { keep: string | null }) {
  const [older, setOlder] = useState("");
  const [larger, setLarger] = useState("");
  const [gone, setGone] = useState<StoreForgotten | null>(null);
  const [question, setQuestion] = useState<Question | null>(null);
  const age = older.trim();
  const size = larger.trim();
  const badAge = age === "" || DURATION.test(age) ? null : "A length of time, like 30d or 12h.";
  const badSize = size === "" || SIZE.test(size) ? null : "A size, like 10GiB.";
  const ask = (): void =>
    setQuestion({
      title: "Forget evaluations for good?",
      body: (
        <>
          <ul className="what">
            {age !== "" && (
              <li>
                Every evaluation that came to its end more than <strong>{age}</strong> ago, of all projects,
                with its output, events and evidence.
              </li>
            )}
            {size !== "" && (
              <li>
                The oldest evaluations, until what is kept takes no more than <strong>{size}</strong>.
              </li>
            )}
          </ul>
          <p>It can't be undone, but from a backup. What waits or runs stays.</p>
        </>
      ),
      action: "Forget them",
      typed: "forget",
      run: async () => setGone(await forget({ older_than: age || null, larger_than: size || null })),
    });
  return (
    <Panel title="Forget">
      <div className="stack">
        <p className="small soft">
          {keep && keep !== "never"
            ? `By itself the service forgets what came to its end ${keep} ago (serve.keep).`
            : "By itself the service forgets nothing (serve.keep is never)."}{" "}
          Here you can have it forget more now.
        </p>
        <div className="two">
          <Field
            label="What ended longer ago than"
            value={older}
            onChange={setOlder}
            placeholder="30d"
            wrong={badAge}
          />
          <Field
            label="The oldest, until all takes no more than"
            value={larger}
            onChange={setLarger}
            placeholder="10GiB"
            wrong={badSize}
          />
        </div>
        {gone && (
          <Notice tone="good">
            <strong>{count(gone.evaluations)} evaluations are forgotten</strong>
            <span>
              with {count(gone.events)} events and {count(gone.blobs)} files of {bytes(gone.bytes)}.
            </span>
          </Notice>
        )}
        <div>
          <Button
            look="bad"
            isDisabled={(age === "" && size === "") || badAge !== null || badSize !== null}
            onPress={ask}
          >
            Forget…
          </Button>
        </div>
      </div>
      <Confirm question={question} onClose={() => setQuestion(null)} />
    </Panel>
  );
}
