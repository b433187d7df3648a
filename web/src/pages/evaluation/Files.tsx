/** Files that a run gave out: pictures as pictures where that is safe, text as text, everything to be saved. */
import { useEffect, useMemo, useState } from "react";
import type { GuestFile } from "../../api/document";
import type { Outcome } from "../../api/types";
import { Button } from "../../components/controls";
import { bytes, count } from "../../components/format";
import { Icon } from "../../components/Icon";
import { save } from "../../components/save";
import { Inert } from "../../guest/Inert";
import { inertText } from "../../guest/inert";
import { OutputView } from "../../guest/OutputView";
import { useRows } from "../../live/run";
import { mayBeShown, type PictureHeader, pictureHeader } from "../../pictures/header";
import "./files.css";

function Picture({ file, header }: { file: GuestFile; header: PictureHeader }) {
  const [url, setUrl] = useState<string | null>(null);
  const [broken, setBroken] = useState(false);
  useEffect(() => {
    const made = URL.createObjectURL(new Blob([file.bytes], { type: header.type }));
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [file.bytes, header.type]);
  if (broken) return <p className="soft">It begins like a picture, but isn't one that can be shown.</p>;
  return (
    <figure>
      {url && (
        <img
          src={url}
          alt={`What the program drew: ${inertText(file.path)}`}
          width={header.width}
          height={header.height}
          onError={() => setBroken(true)}
        />
      )}
    </figure>
  );
}

function Text({ file }: { file: GuestFile }) {
  const { rows, version } = useRows(file.bytes);
  if (rows.count === 0) return <p className="soft">It is empty.</p>;
  return <OutputView rows={rows} version={version} label={`Contents of ${inertText(file.path)}`} />;
}

function isText(content: Uint8Array): boolean {
  return !content.subarray(0, 8192).includes(0);
}

function Preview({ file }: { file: GuestFile }) {
  const header = useMemo(() => pictureHeader(file.bytes), [file.bytes]);
  if (header && mayBeShown(header)) return <Picture file={file} header={header} />;
  if (header) {
    return (
      <p className="soft">
        A picture of {count(header.width)} × {count(header.height)} pixels is too large to be shown safely.
      </p>
    );
  }
  if (!isText(file.bytes))
    return <p className="soft">These bytes are neither text nor a picture that is shown.</p>;
  return <Text file={file} />;
}

export function Files(props: { files: GuestFile[]; refused: NonNullable<Outcome["files_refused"]> }) {
  const [open, setOpen] = useState<string | null>(props.files[0]?.path ?? null);
  return (
    <div className="files">
      <ul>
        {props.files.map((file) => {
          const shown = open === file.path;
          return (
            <li key={file.path}>
              <div className="file-line">
                <button
                  type="button"
                  className="file-name"
                  aria-expanded={shown}
                  onClick={() => setOpen(shown ? null : file.path)}
                >
                  <Icon name="file" />
                  <span className="mono">
                    <Inert text={file.path} />
                  </span>
                </button>
                <span className="soft small number">{bytes(file.size)}</span>
                <Button
                  compact
                  look="plain"
                  icon="down"
                  aria-label={`Save ${inertText(file.path)}`}
                  onPress={() => save(file.path, file.bytes)}
                />
              </div>
              {shown && (
                <div className="file-preview">
                  <Preview file={file} />
                </div>
              )}
            </li>
          );
        })}
        {props.refused.map((refused, at) => (
          <li key={at} className="file-line soft">
            <Icon name="lock" />
            <span className="mono">
              <Inert text={refused.path} />
            </span>
            <span className="small">
              not brought out: <Inert text={refused.reason} />
            </span>
          </li>
        ))}
      </ul>
    </div>
  );
}
