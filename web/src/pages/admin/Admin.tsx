/** What an operator looks after. Each part is a page of its own below /admin. */
import { type ComponentType, useEffect, useRef } from "react";
import { Link, Redirect, useLocation } from "wouter";
import { useMe } from "../../api/queries";
import { Empty, Loading, NotAllowed } from "../../components/states";
import { useTitle } from "../../shell/title";
import { Backends } from "./Backends";
import { Components } from "./Components";
import { Keys } from "./Keys";
import { Policies } from "./Policies";
import { Projects } from "./Projects";
import { QueuePart } from "./QueuePart";
import { Rules } from "./Rules";
import { Settings } from "./Settings";
import { Store } from "./Store";
import "./admin.css";

const parts: { path: string; label: string; view: ComponentType }[] = [
  { path: "components", label: "Components", view: Components },
  { path: "backends", label: "Backends", view: Backends },
  { path: "queue", label: "Queue", view: QueuePart },
  { path: "keys", label: "Keys", view: Keys },
  { path: "projects", label: "Projects", view: Projects },
  { path: "policies", label: "Policies", view: Policies },
  { path: "rules", label: "Rules", view: Rules },
  { path: "store", label: "Retention and backup", view: Store },
  { path: "settings", label: "Settings", view: Settings },
];

export default function Admin() {
  const [path] = useLocation();
  const { me, may } = useMe();
  const wanted = path.replace(/^\/admin\/?/, "").split("/")[0] ?? "";
  const part = parts.find((one) => one.path === wanted);
  const nav = useRef<HTMLElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another part, or knowing who asks, is what it waits for
  useEffect(() => {
    nav.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [part, me]);
  useTitle(part ? part.label : "Admin");

  if (!me) return <Loading what="who you are" />;
  if (!may("admin")) return <NotAllowed who="admins" />;
  if (wanted === "") return <Redirect to="/admin/components" replace />;
  const View = part?.view;
  return (
    <div className="admin">
      <nav className="admin-nav" aria-label="Parts of the service" ref={nav}>
        {parts.map((one) => (
          <Link key={one.path} href={`/admin/${one.path}`} aria-current={one === part ? "page" : undefined}>
            {one.label}
          </Link>
        ))}
      </nav>
      <div className="stack">
        {View ? (
          <View />
        ) : (
          <Empty title="There is no such part" icon="file">
            <p>The address may be mistyped, or from another version.</p>
          </Empty>
        )}
      </div>
    </div>
  );
}
