/** What a program wrote: both streams in the order of writing, and each by itself. */
import { useState } from "react";
import { Tab, TabList, TabPanel, Tabs } from "react-aria-components";
import { CopyButton } from "../components/CopyButton";
import { Button } from "../components/controls";
import { bytes } from "../components/format";
import { save } from "../components/save";
import { Notice } from "../components/states";
import { OutputView } from "../guest/OutputView";
import type { OutputRows } from "../guest/rows";
import "./output.css";

interface Stream {
  rows: OutputRows;
  version: number;
  truncated?: boolean;
}

const LARGEST_COPY = 2_000_000;

function NothingYet(props: { running: boolean; what: string }) {
  return (
    <p className="output-none">{props.running ? "Nothing yet." : `Nothing was written to ${props.what}.`}</p>
  );
}

export function Output(props: {
  both: Stream & { full?: boolean };
  stdout: Stream;
  stderr: Stream;
  running: boolean;
  name: string;
}) {
  const [chosen, setChosen] = useState("both");
  const shown = chosen === "stderr" ? props.stderr : chosen === "stdout" ? props.stdout : props.both;
  const truncated = props.stdout.truncated || props.stderr.truncated;
  const tabs = [
    { id: "both", label: "Both", what: "either", stream: props.both },
    { id: "stdout", label: "stdout", what: "standard output", stream: props.stdout },
    { id: "stderr", label: "stderr", what: "standard error", stream: props.stderr },
  ];
  return (
    <Tabs className="output" selectedKey={chosen} onSelectionChange={(key) => setChosen(String(key))}>
      <div className="output-head">
        <TabList className="tab-list grow" aria-label="Output">
          {tabs.map(({ id, label, stream }) => (
            <Tab key={id} id={id} className="tab">
              {label}
              {stream.rows.length > 0 && <span className="count">{bytes(stream.rows.length)}</span>}
            </Tab>
          ))}
        </TabList>
        {shown.rows.length > 0 && shown.rows.length <= LARGEST_COPY && (
          <CopyButton text={() => new TextDecoder().decode(shown.rows.bytes())} label="Copy" />
        )}
        {shown.rows.length > 0 && (
          <Button
            compact
            look="plain"
            icon="down"
            onPress={() => save(`${props.name}-${chosen}.bin`, shown.rows.bytes())}
          >
            <span className="wide-only">Exact bytes</span>
            <span className="unseen narrow-only">Save the exact bytes</span>
          </Button>
        )}
      </div>
      {truncated && (
        <Notice tone="warn">
          It wrote more than the output limit allows. What is beyond the limit isn't kept.
        </Notice>
      )}
      {props.both.full && chosen === "both" && (
        <Notice tone="warn">
          Only the first 64 MiB are shown here. Each stream by itself has all of it.
        </Notice>
      )}
      {tabs.map(({ id, label, what, stream }) => (
        <TabPanel key={id} id={id} className="output-panel">
          {stream.rows.count === 0 ? (
            <NothingYet running={props.running} what={what} />
          ) : (
            <OutputView
              rows={stream.rows}
              version={stream.version}
              label={`Output, ${label}`}
              follow={props.running}
            />
          )}
        </TabPanel>
      ))}
    </Tabs>
  );
}
