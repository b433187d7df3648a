import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

/** Does something, says whether it is being done or failed, and asks anew for what it changed. */
export function useAct(...changed: string[]): {
  busy: boolean;
  wrong: unknown;
  act: (run: () => Promise<unknown>) => Promise<boolean>;
} {
  const cache = useQueryClient();
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState<unknown>(null);
  const act = async (run: () => Promise<unknown>): Promise<boolean> => {
    setBusy(true);
    setWrong(null);
    try {
      await run();
      await Promise.all(changed.map((name) => cache.invalidateQueries({ queryKey: [name] })));
      return true;
    } catch (error) {
      setWrong(error);
      return false;
    } finally {
      setBusy(false);
    }
  };
  return { busy, wrong, act };
}
