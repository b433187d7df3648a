/**
 * The editor. It is its own piece, loaded after the page. It lives in a shadow root, because only there CodeMirror
 * adopts its style sheets as objects; in the document it would add inline styles, which the
 * Content-Security-Policy refuses.
 */
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { javascript } from "@codemirror/lang-javascript";
import { python } from "@codemirror/lang-python";
import {
  bracketMatching,
  foldGutter,
  HighlightStyle,
  indentOnInput,
  indentUnit,
  StreamLanguage,
  syntaxHighlighting,
} from "@codemirror/language";
import { shell } from "@codemirror/legacy-modes/mode/shell";
import { type Diagnostic, lintGutter, setDiagnostics } from "@codemirror/lint";
import { Compartment, EditorState, type Extension } from "@codemirror/state";
import {
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  highlightSpecialChars,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { type RefObject, useEffect, useLayoutEffect, useRef } from "react";
import type { Finding } from "../api/types";

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.modifier], color: "var(--held)" },
  { tag: [tags.string, tags.special(tags.string), tags.regexp], color: "var(--good)" },
  { tag: [tags.number, tags.bool, tags.null, tags.atom], color: "var(--warn)" },
  { tag: [tags.comment], color: "var(--text-soft)", fontStyle: "italic" },
  { tag: [tags.function(tags.variableName), tags.definition(tags.variableName)], color: "var(--accent)" },
  { tag: [tags.className, tags.typeName, tags.standard(tags.name)], color: "var(--ansi-6)" },
]);

/** As tall as its place, or only as tall as its text needs. */
const tall = EditorView.theme({ "&": { height: "100%" } });
const fitting = EditorView.theme({ "&": { maxHeight: "440px" } });

const clothes = EditorView.theme({
  "&": { color: "var(--text)", backgroundColor: "var(--code-ground)", fontSize: "13.5px" },
  "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "-2px" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.55", fontVariantLigatures: "none" },
  ".cm-content": { caretColor: "var(--text)", padding: "10px 0" },
  ".cm-gutters": { backgroundColor: "var(--code-ground)", color: "var(--text-soft)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": {
    backgroundColor: "color-mix(in srgb, var(--accent) 7%, transparent)",
  },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "color-mix(in srgb, var(--accent) 26%, transparent) !important",
  },
  ".cm-tooltip": {
    backgroundColor: "var(--raised)",
    color: "var(--text)",
    border: "1px solid var(--line)",
    borderRadius: "6px",
    boxShadow: "var(--shadow-high)",
    fontFamily: "var(--sans)",
    maxWidth: "min(460px, 90vw)",
  },
  ".cm-diagnostic": { padding: "6px 10px" },
  ".cm-diagnostic-error": { borderLeft: "4px solid var(--bad)" },
  ".cm-diagnostic-warning": { borderLeft: "4px solid var(--warn)" },
  ".cm-diagnostic-info": { borderLeft: "4px solid var(--line-strong)" },
  ".cm-lintRange": { backgroundImage: "none", paddingBottom: "1px" },
  ".cm-lintRange-error": { textDecoration: "underline wavy var(--bad) 1px", textUnderlineOffset: "3px" },
  ".cm-lintRange-warning": { textDecoration: "underline wavy var(--warn) 1px", textUnderlineOffset: "3px" },
  ".cm-lintRange-info": {
    textDecoration: "underline dotted var(--line-strong) 1px",
    textUnderlineOffset: "3px",
  },
  ".cm-gutter-lint": { width: "14px" },
  ".cm-lint-marker": { width: "9px", height: "9px", borderRadius: "50%", content: "''", marginTop: "5px" },
  ".cm-lint-marker-error": { backgroundColor: "var(--bad)" },
  ".cm-lint-marker-warning": { backgroundColor: "var(--warn)" },
  ".cm-lint-marker-info": { backgroundColor: "var(--line-strong)" },
});

function languageOf(name: string): Extension {
  switch (name) {
    case "python":
      return [python(), indentUnit.of("    ")];
    case "javascript":
      return [javascript(), indentUnit.of("  ")];
    case "bash":
      return [StreamLanguage.define(shell), indentUnit.of("  ")];
    default:
      return [];
  }
}

function diagnosticsOf(state: EditorState, findings: Finding[]): Diagnostic[] {
  const found: Diagnostic[] = [];
  for (const finding of findings) {
    if (finding.line < 1 || finding.line > state.doc.lines) continue;
    const line = state.doc.line(finding.line);
    const last = state.doc.line(
      Math.min(Math.max(finding.end_line ?? finding.line, finding.line), state.doc.lines),
    );
    // Columns are in characters, places in the editor in units of UTF-16.
    const place = (text: string, column: number): number =>
      [...text].slice(0, column - 1).reduce((sum, character) => sum + character.length, 0);
    const from = Math.min(line.from + place(line.text, finding.column ?? 1), line.to);
    let to = finding.end_column ? last.from + place(last.text, finding.end_column) : line.to;
    if (to <= from) to = line.to;
    found.push({
      from,
      to: Math.min(to, last.to),
      severity:
        finding.severity === "critical" || finding.severity === "high"
          ? "error"
          : finding.severity === "medium"
            ? "warning"
            : "info",
      source: finding.rule,
      message: `${finding.severity}: ${finding.message}`,
    });
  }
  return found.sort((one, other) => one.from - other.from);
}

/** The field that had the focus last. */
let typedIn: EventTarget | null = null;
document.addEventListener("focusin", (event) => {
  typedIn = event.target;
});
typedIn = document.activeElement;

export default function CodeEditor(props: {
  value: string;
  language: string;
  label: string;
  findings?: Finding[];
  readOnly?: boolean;
  onChange?: (value: string) => void;
  /** Given what is in the editor, which the page may not have rendered yet. */
  onRun?: (code: string) => void;
  /** The plain field whose place it takes. */
  plain: RefObject<HTMLTextAreaElement | null>;
}) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const language = useRef(new Compartment());
  const latest = useRef(props);
  latest.current = props;

  useLayoutEffect(() => {
    const element = host.current;
    if (!element) return;
    const root = element.shadowRoot ?? element.attachShadow({ mode: "open" });
    const first = latest.current;
    const editor = new EditorView({
      parent: root,
      root,
      state: EditorState.create({
        doc: first.value,
        extensions: [
          keymap.of([
            {
              key: "Mod-Enter",
              run: (view) => {
                latest.current.onRun?.(view.state.doc.toString());
                return true;
              },
            },
          ]),
          lineNumbers(),
          highlightSpecialChars(),
          history(),
          drawSelection(),
          indentOnInput(),
          bracketMatching(),
          first.readOnly ? [] : [highlightActiveLine(), highlightActiveLineGutter()],
          foldGutter({ openText: "\u25be", closedText: "\u25b8" }),
          lintGutter(),
          syntaxHighlighting(colours),
          clothes,
          first.readOnly ? fitting : tall,
          language.current.of(languageOf(first.language)),
          EditorView.contentAttributes.of({ "aria-label": first.label, spellcheck: "false", tabindex: "0" }),
          // Escape and then Tab leaves the editor, as CodeMirror's own documentation says.
          keymap.of([...defaultKeymap, ...historyKeymap, indentWithTab]),
          EditorState.readOnly.of(first.readOnly ?? false),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) latest.current.onChange?.(update.state.doc.toString());
          }),
        ],
      }),
    });
    view.current = editor;
    const before = first.plain.current;
    first.plain.current = null;
    // A field that is taken away, or hidden, has lost its focus to the page as a whole.
    if (
      before &&
      typedIn === before &&
      (!before.isConnected || document.activeElement === before || document.activeElement === document.body)
    ) {
      const most = editor.state.doc.length;
      editor.dispatch({
        selection: {
          anchor: Math.min(before.selectionStart, most),
          head: Math.min(before.selectionEnd, most),
        },
      });
      editor.focus();
    }
    return () => {
      editor.destroy();
      view.current = null;
    };
  }, []);

  useEffect(() => {
    view.current?.dispatch({ effects: language.current.reconfigure(languageOf(props.language)) });
  }, [props.language]);

  // In the commit itself: later it could take back what was typed since.
  useLayoutEffect(() => {
    const editor = view.current;
    if (editor && editor.state.doc.toString() !== props.value) {
      editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: props.value } });
    }
  }, [props.value]);

  useEffect(() => {
    const editor = view.current;
    if (editor)
      editor.dispatch(setDiagnostics(editor.state, diagnosticsOf(editor.state, props.findings ?? [])));
  }, [props.findings]);

  return <div ref={host} className="code-editor" />;
}
