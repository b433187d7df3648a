import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type Setting, settings } from "../../api/operator";
import { Checkbox, Field } from "../../components/controls";
import { Panel } from "../../components/Panel";
import { Badge, Failure, Loading, type Tone } from "../../components/states";
import { Head } from "./Head";

const origins: Record<string, { tone: Tone; label: string }> = {
  default: { tone: "quiet", label: "as shipped" },
  file: { tone: "live", label: "a file" },
  environment: { tone: "held", label: "the environment" },
  flag: { tone: "warn", label: "a flag" },
};

function said(value: unknown): string {
  if (typeof value === "string") return value === "" ? "empty" : value;
  return JSON.stringify(value) ?? "–";
}

export function Settings() {
  const asked = useQuery(settings);
  const [search, setSearch] = useState("");
  const [changed, setChanged] = useState(false);
  if (asked.isPending) return <Loading what="settings" lines={10} />;
  if (asked.isError) return <Failure error={asked.error} onRetry={() => void asked.refetch()} />;
  const wanted = search.trim().toLowerCase();
  const shown = asked.data.filter(
    (setting) =>
      (!changed || setting.origin !== "default") &&
      (wanted === "" ||
        `${setting.key} ${said(setting.value)} ${setting.place}`.toLowerCase().includes(wanted)),
  );
  const groups = new Map<string, Setting[]>();
  for (const setting of shown) {
    const group = setting.key.includes(".") ? (setting.key.split(".")[0] ?? "") : "";
    const found = groups.get(group);
    if (found) found.push(setting);
    else groups.set(group, [setting]);
  }
  return (
    <>
      <Head
        title="Settings"
        about="What the service was started with, and where each came from. They are changed in its configuration, and hold from its next start."
      />
      <div className="admin-filters">
        <Field
          label="Search"
          type="search"
          value={search}
          onChange={setSearch}
          placeholder="a key, a value or a place"
        />
        <Checkbox isSelected={changed} onChange={setChanged}>
          <span className="small">Only what isn't as shipped</span>
        </Checkbox>
      </div>
      {shown.length === 0 && (
        <p className="soft">{wanted === "" ? "Everything is as it was shipped." : "No setting fits."}</p>
      )}
      {[...groups].map(([group, list]) => (
        <Panel key={group} title={group || "general"} flush>
          <ul className="settings">
            {list.map(({ key, value, origin, place }) => {
              const from = origins[origin] ?? { tone: "quiet" as const, label: origin };
              return (
                <li key={key}>
                  <code className="setting-key">{key}</code>
                  <span className="setting-value mono">{said(value)}</span>
                  <span className="setting-from">
                    <Badge tone={from.tone} plain>
                      {from.label}
                    </Badge>{" "}
                    {origin !== "default" && <span className="soft small">{place}</span>}
                  </span>
                </li>
              );
            })}
          </ul>
        </Panel>
      ))}
    </>
  );
}
