import { useState } from "react";
import {
  Button as AriaButton,
  Disclosure,
  DisclosurePanel,
  FileTrigger,
  Heading,
} from "react-aria-components";
import type { PolicyEntry } from "../../api/types";
import { Button, Field, Select } from "../../components/controls";
import { bytes } from "../../components/format";
import { Icon } from "../../components/Icon";
import { Inert } from "../../guest/Inert";
import { type Draft, type DraftFile, fromUpload, limitNames } from "./draft";

const LARGEST_FILE = 8 * 1024 * 1024;

function sizeOf(file: DraftFile): number {
  if (file.content !== undefined) return new TextEncoder().encode(file.content).length;
  return Math.floor(((file.content_base64?.length ?? 0) * 3) / 4);
}

/** Limits, policy, input and files, folded away until they are wanted. */
export function Settings(props: {
  draft: Draft;
  policies: PolicyEntry[];
  onChange: (part: Partial<Draft>) => void;
}) {
  const { draft, onChange } = props;
  const [wrong, setWrong] = useState<string | null>(null);
  const set = Object.values(draft.limits).filter((value) => value !== "").length;
  const told = [
    draft.policy !== "default" && `policy ${draft.policy}`,
    set > 0 && `${set} ${set === 1 ? "limit" : "limits"}`,
    draft.stdin !== "" && "input",
    draft.files.length > 0 && `${draft.files.length} ${draft.files.length === 1 ? "file" : "files"} in`,
    draft.collect.trim() !== "" && "files out",
  ].filter(Boolean);

  return (
    <Disclosure className="settings">
      <Heading level={3} className="settings-head">
        <AriaButton slot="trigger" className="settings-trigger">
          <Icon name="chevron" />
          Limits, policy, input and files
          <span className="soft">{told.join(", ")}</span>
        </AriaButton>
      </Heading>
      <DisclosurePanel className="settings-panel">
        <div className="settings-grid">
          <Select
            label="Policy"
            value={draft.policy}
            onChange={(policy) => onChange({ policy })}
            choices={
              props.policies.length > 0
                ? props.policies.map(({ name, title }) => ({ value: name, label: name, explained: title }))
                : ["default", "strict", "research"].map((name) => ({ value: name, label: name }))
            }
          />
          {limitNames.map(({ name, label, usual }) => (
            <Field
              key={name}
              label={label}
              value={draft.limits[name] ?? ""}
              placeholder={usual}
              onChange={(value) => onChange({ limits: { ...draft.limits, [name]: value } })}
            />
          ))}
        </div>
        <div className="settings-wide">
          <Field label="Standard input" lines value={draft.stdin} onChange={(stdin) => onChange({ stdin })} />
          <Field
            label="Files to bring out, one on a line"
            lines
            value={draft.collect}
            placeholder="result.json"
            onChange={(collect) => onChange({ collect })}
          />
        </div>
        <div className="settings-files">
          <h4 className="label">Files to put in</h4>
          {draft.files.length > 0 && (
            <ul>
              {draft.files.map((file, at) => (
                <li key={at}>
                  <Icon name="file" />
                  <span className="grow mono">
                    <Inert text={file.path} />
                  </span>
                  <span className="soft small">{bytes(sizeOf(file))}</span>
                  <Button
                    compact
                    look="plain"
                    icon="cross"
                    aria-label={`Leave ${file.path} out`}
                    onPress={() => onChange({ files: draft.files.filter((_, other) => other !== at) })}
                  />
                </li>
              ))}
            </ul>
          )}
          <FileTrigger
            allowsMultiple
            onSelect={(list) => {
              const chosen = [...(list ?? [])];
              const large = chosen.find((file) => file.size > LARGEST_FILE);
              setWrong(large ? `${large.name} is larger than 8 MiB.` : null);
              if (large) return;
              void Promise.all(chosen.map(fromUpload)).then((files) =>
                onChange({
                  files: [
                    ...draft.files.filter((old) => !files.some((file) => file.path === old.path)),
                    ...files,
                  ],
                }),
              );
            }}
          >
            <Button compact icon="file">
              Add files
            </Button>
          </FileTrigger>
          {wrong && <p className="wrong">{wrong}</p>}
        </div>
      </DisclosurePanel>
    </Disclosure>
  );
}
