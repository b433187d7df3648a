import { type ComponentProps, Suspense, useRef } from "react";
import { later } from "../components/later";
import "./editor.css";

const CodeEditor = later(() => import("./CodeEditor"));

/** The editor, and until it is there a plain field that can be typed in already. */
export function Editor(props: Omit<ComponentProps<typeof CodeEditor>, "plain">) {
  // Who types already goes on where the editor takes the field's place.
  const plain = useRef<HTMLTextAreaElement | null>(null);
  return (
    <Suspense
      fallback={
        <textarea
          ref={(element) => {
            if (element) plain.current = element;
          }}
          className="plain-editor"
          aria-label={props.label}
          value={props.value}
          readOnly={props.readOnly ?? false}
          spellCheck={false}
          onChange={(event) => props.onChange?.(event.target.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
              event.preventDefault();
              props.onRun?.(event.currentTarget.value);
            }
          }}
        />
      }
    >
      <CodeEditor {...props} plain={plain} />
    </Suspense>
  );
}
