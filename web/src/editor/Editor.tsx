import { type ComponentProps, lazy, Suspense } from "react";
import "./editor.css";

const CodeEditor = lazy(() => import("./CodeEditor"));

/** The editor, and until it is there a plain field that can be typed in already. */
export function Editor(props: ComponentProps<typeof CodeEditor>) {
  return (
    <Suspense
      fallback={
        <textarea
          className="plain-editor"
          aria-label={props.label}
          value={props.value}
          readOnly={props.readOnly ?? false}
          spellCheck={false}
          onChange={(event) => props.onChange?.(event.target.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
              event.preventDefault();
              props.onRun?.();
            }
          }}
        />
      }
    >
      <CodeEditor {...props} />
    </Suspense>
  );
}
