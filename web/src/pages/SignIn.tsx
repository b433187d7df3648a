import { useState } from "react";
import { useLocation } from "wouter";
import { keyRefused, signIn, tryKey } from "../api/key";
import { asProblem } from "../api/problem";
import { me, queryClient } from "../api/queries";
import { useStore } from "../api/store";
import { Button, Field } from "../components/controls";
import { useTitle } from "../shell/title";
import "./sign-in.css";

/** Asks for a key. It is shown in place of any page that the service refuses to answer. */
export function SignIn() {
  useTitle("Sign in");
  const [path, go] = useLocation();
  const refused = useStore(keyRefused);
  const [secret, setSecret] = useState("");
  const [wrong, setWrong] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);

  const enter = async (): Promise<void> => {
    const given = secret.trim();
    if (given === "") {
      setWrong("A key is needed.");
      return;
    }
    setBusy(true);
    setWrong(null);
    try {
      const asked = await tryKey(given);
      signIn(given);
      queryClient.setQueryData(me.queryKey, asked);
      // What was asked for with another key, or none, isn't this one's.
      void queryClient.resetQueries({ predicate: ({ queryKey }) => queryKey[0] !== "me" });
      if (path === "/sign-in") go("/");
    } catch (error) {
      const problem = asProblem(error);
      setWrong(
        problem.status === 401
          ? "This key opens nothing here. It may have been revoked or mistyped."
          : problem.message,
      );
    } finally {
      setBusy(false);
    }
  };

  return (
    <div className="sign-in panel">
      <h1>Sign in</h1>
      <p className="soft">
        {refused
          ? "This service answers only to those who have a key."
          : "With a key you see what its project has, and may do what its role allows."}
      </p>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void enter();
        }}
      >
        <Field label="Key" type="password" value={secret} onChange={setSecret} wrong={wrong} autoFocus />
        <Button look="main" type="submit" isDisabled={busy}>
          {busy ? "Asking…" : "Sign in"}
        </Button>
      </form>
      <p className="soft small">
        The key stays in this tab and is forgotten when you close it. Whoever runs the service makes one with{" "}
        <code>crucible keys create</code>.
      </p>
    </div>
  );
}
