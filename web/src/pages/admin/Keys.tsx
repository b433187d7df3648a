import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type CreatedKey, createKey, type Key, keys, revokeKey } from "../../api/operator";
import { useMe } from "../../api/queries";
import { Confirm, type Question, Wrong } from "../../components/Confirm";
import { CopyButton } from "../../components/CopyButton";
import { Button, Checkbox, Dialog, Field, Select } from "../../components/controls";
import { ago, moment } from "../../components/format";
import { Panel } from "../../components/Panel";
import { ScrollX } from "../../components/ScrollX";
import { Badge, Empty, Failure, Loading, Notice } from "../../components/states";
import { Inert } from "../../guest/Inert";
import { Head } from "./Head";
import { useAct } from "./useAct";

const ROLES = [
  { value: "viewer", label: "Viewer", explained: "reads" },
  { value: "submitter", label: "Submitter", explained: "submits and cancels, and uses sandboxes" },
  { value: "reviewer", label: "Reviewer", explained: "decides about what is held, too" },
  { value: "admin", label: "Admin", explained: "does everything, in all projects" },
];

export function Keys() {
  const { me } = useMe();
  const asked = useQuery({ ...keys, enabled: me?.keys_required === true });
  const [creating, setCreating] = useState(false);
  const [question, setQuestion] = useState<Question | null>(null);
  const [revoked, setRevoked] = useState(false);

  const about = "Who is let in, as what, and for which project. The service keeps a key's hash alone.";
  if (me?.keys_required === false) {
    return (
      <>
        <Head title="Keys" about={about} />
        <Empty title="This service needs no keys" icon="lock">
          <p>
            It listens for this machine alone, and whoever reaches it may do everything. Start it with{" "}
            <code>--auth keys</code> to let only those in who have one, after making the first with{" "}
            <code>crucible keys create --role admin NAME</code>.
          </p>
        </Empty>
      </>
    );
  }
  if (asked.isPending) return <Loading what="keys" />;
  if (asked.isError) return <Failure error={asked.error} onRetry={() => void asked.refetch()} />;
  const all = asked.data.keys;
  const shown = all.filter((key) => revoked || !key.revoked_at);

  const revoke = (key: Key): void =>
    setQuestion({
      title: `Revoke the key of ${key.name}?`,
      body: (
        <>
          <p>
            It opens nothing from this moment, for whoever has it: {key.role} of {key.project},{" "}
            {key.last_used_at ? `last used ${ago(key.last_used_at)}` : "never used"}. What was submitted with
            it stays. It can't be given back; another can be made.
          </p>
          {key.id === me?.key && (
            <Notice tone="warn">This is the key that you use now. You will be signed out.</Notice>
          )}
        </>
      ),
      action: "Revoke it",
      run: async () => {
        await revokeKey(key.id);
        await asked.refetch();
      },
    });

  return (
    <>
      <Head title="Keys" about={about}>
        <Button look="main" onPress={() => setCreating(true)}>
          Make a key
        </Button>
      </Head>
      <Panel
        title={`${all.filter((key) => !key.revoked_at).length} in use`}
        flush
        aside={
          <Checkbox isSelected={revoked} onChange={setRevoked}>
            <span className="small">Show revoked ones</span>
          </Checkbox>
        }
      >
        <ScrollX label="Keys">
          <table className="table">
            <thead>
              <tr>
                <th scope="col">Name</th>
                <th scope="col">Role</th>
                <th scope="col">Project</th>
                <th scope="col">Last used</th>
                <th scope="col">Made</th>
                <th scope="col">
                  <span className="unseen">What to do</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {shown.map((key) => (
                <tr key={key.id}>
                  <td>
                    <strong>
                      <Inert text={key.name} />
                    </strong>{" "}
                    {key.id === me?.key && <Badge tone="live">You</Badge>}
                    <span className="mono soft block">{key.id}</span>
                  </td>
                  <td>{key.role}</td>
                  <td>
                    <Inert text={key.project} />
                  </td>
                  <td title={key.last_used_at ?? ""}>{key.last_used_at ? ago(key.last_used_at) : "never"}</td>
                  <td title={key.created_at}>{moment(key.created_at)}</td>
                  <td className="right">
                    {key.revoked_at ? (
                      <Badge tone="quiet">Revoked {ago(key.revoked_at)}</Badge>
                    ) : (
                      <Button
                        compact
                        look="bad"
                        aria-label={`Revoke ${key.name}`}
                        onPress={() => revoke(key)}
                      >
                        Revoke
                      </Button>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </ScrollX>
      </Panel>
      <Dialog title="Make a key" isOpen={creating} onClose={() => setCreating(false)}>
        {creating && <Create onClose={() => setCreating(false)} />}
      </Dialog>
      <Confirm question={question} onClose={() => setQuestion(null)} />
    </>
  );
}

function Create({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState("submitter");
  const [project, setProject] = useState("");
  const [made, setMade] = useState<CreatedKey | null>(null);
  const { busy, wrong, act } = useAct("keys");
  if (made) {
    return (
      <>
        <Notice tone="warn">
          <strong>This is shown once.</strong> Keep it where only its owner can read it.
        </Notice>
        <div className="secret">
          <code data-testid="secret">{made.secret}</code>
          <CopyButton text={() => made.secret} label="Copy" />
        </div>
        <p className="small soft">
          <Inert text={made.key.name} />: {made.key.role} of <Inert text={made.key.project} />.
        </p>
        <div className="ends">
          <Button look="main" onPress={onClose}>
            I have kept it
          </Button>
        </div>
      </>
    );
  }
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        void act(async () =>
          setMade(await createKey({ name: name.trim(), role, project: project.trim() || null })),
        );
      }}
    >
      <Field label="Name: who has it, or what for" value={name} onChange={setName} autoFocus isRequired />
      <Select label="Role" value={role} onChange={setRole} choices={ROLES} />
      <Field label="Project" value={project} onChange={setProject} placeholder="default" />
      {wrong !== null && <Wrong error={wrong} />}
      <div className="ends">
        <Button onPress={onClose}>Leave it</Button>
        <Button look="main" type="submit" isDisabled={busy || name.trim() === ""}>
          {busy ? "Making…" : "Make it"}
        </Button>
      </div>
    </form>
  );
}
