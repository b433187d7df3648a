import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { type Rule, rules } from "../../api/operator";
import { Button, Field, Select } from "../../components/controls";
import { Badge, Failure, Loading } from "../../components/states";
import { severityTone } from "../../components/words";
import { Head } from "./Head";

const ANY = "any-of-them";
/** Shown at first; the search looks through all. */
const FIRST = 60;
const SEVERITIES = ["critical", "high", "medium", "low", "info"];

export function Rules() {
  const asked = useQuery(rules);
  const [search, setSearch] = useState("");
  const [severity, setSeverity] = useState(ANY);
  const [language, setLanguage] = useState(ANY);
  const [all, setAll] = useState(false);
  const languages = useMemo(
    () => [...new Set(asked.data?.flatMap((rule) => rule.languages) ?? [])].sort(),
    [asked.data],
  );
  if (asked.isPending) return <Loading what="rules" lines={10} />;
  if (asked.isError) return <Failure error={asked.error} onRetry={() => void asked.refetch()} />;
  const wanted = search.trim().toLowerCase();
  const shown = asked.data
    .filter(
      (rule) =>
        (severity === ANY || rule.severity === severity) &&
        (language === ANY || rule.languages.includes(language)) &&
        (wanted === "" ||
          `${rule.id} ${rule.message} ${rule.does} ${rule.why}`.toLowerCase().includes(wanted)),
    )
    .sort(
      (a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity) || a.id.localeCompare(b.id),
    );
  return (
    <>
      <Head
        title="Rules"
        about="What the scanner looks for before a program runs. A policy decides what a finding leads to."
      />
      <div className="admin-filters">
        <Field
          label="Search"
          type="search"
          value={search}
          onChange={setSearch}
          placeholder="an id or a word"
        />
        <Select
          label="Severity"
          value={severity}
          onChange={setSeverity}
          choices={[{ value: ANY, label: "Any" }, ...SEVERITIES.map((value) => ({ value, label: value }))]}
        />
        <Select
          label="Language"
          value={language}
          onChange={setLanguage}
          choices={[
            { value: ANY, label: "Any" },
            ...languages.map((value) => ({ value, label: value === "any" ? "every language" : value })),
          ]}
        />
      </div>
      <section className="panel" aria-label="Rules">
        <p className="panel-head soft small" role="status">
          {shown.length} of {asked.data.length} rules
        </p>
        <ul className="rules">
          {shown.slice(0, all ? undefined : FIRST).map((rule) => (
            <RuleItem key={rule.id} rule={rule} />
          ))}
        </ul>
        {!all && shown.length > FIRST && (
          <div className="panel-body">
            <Button compact onPress={() => setAll(true)}>
              Show all {shown.length}
            </Button>
          </div>
        )}
      </section>
    </>
  );
}

/** Its details are made when they are opened: there are hundreds of rules. */
function RuleItem({ rule }: { rule: Rule }) {
  const [open, setOpen] = useState(false);
  return (
    <li>
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>
          <Badge tone={severityTone[rule.severity] ?? "quiet"}>{rule.severity}</Badge>
          <span className="rule-words">{rule.message}</span>
          <code className="soft">{rule.id}</code>
        </summary>
        {open && (
          <dl className="facts">
            <dt>Such a program</dt>
            <dd>{rule.does}</dd>
            <dt>Why it matters</dt>
            <dd>{rule.why}</dd>
            <dt>Languages</dt>
            <dd>{rule.languages.map((one) => (one === "any" ? "every language" : one)).join(", ")}</dd>
            {rule.foreshadows.length > 0 && (
              <>
                <dt>Foreshadows</dt>
                <dd>{rule.foreshadows.map((one) => one.replaceAll("_", " ")).join(", ")}</dd>
              </>
            )}
            {(rule.references.cwe.length > 0 || rule.references.attack.length > 0) && (
              <>
                <dt>Described as</dt>
                <dd>
                  {[
                    ...rule.references.cwe.map((number) => `CWE-${number}`),
                    ...rule.references.attack.map((id) => `ATT&CK ${id}`),
                  ].join(", ")}
                </dd>
              </>
            )}
          </dl>
        )}
      </details>
    </li>
  );
}
