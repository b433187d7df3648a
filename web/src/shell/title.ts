import { useEffect } from "react";

/** Names the tab while a page is shown. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Crucible`;
  }, [title]);
}
