import { inertText } from "../guest/inert";

/** Saves bytes as a file. They are never opened: the type says nothing that a browser would show. */
export function save(name: string, content: BlobPart): void {
  const url = URL.createObjectURL(new Blob([content], { type: "application/octet-stream" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = inertText(name.split("/").at(-1) ?? "file") || "file";
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
