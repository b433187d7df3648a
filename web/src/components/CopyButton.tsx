import { useEffect, useState } from "react";
import { Button } from "./controls";
import type { IconName } from "./Icon";

/** Copies a text, and says whether that worked. */
export function CopyButton(props: { text: () => string | Promise<string>; label: string; icon?: IconName }) {
  const [said, setSaid] = useState<string | null>(null);
  useEffect(() => {
    if (said === null) return;
    const timer = setTimeout(() => setSaid(null), 2500);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(await props.text());
      setSaid("Copied");
    } catch {
      setSaid("The browser doesn't let me");
    }
  };
  return (
    <Button
      compact
      look="plain"
      icon={said === "Copied" ? "check" : (props.icon ?? "copy")}
      onPress={() => void copy()}
    >
      <span aria-live="polite">{said ?? props.label}</span>
    </Button>
  );
}
