/** Which page is where. Every page is a piece of its own, loaded when it is gone to. */
import { QueryClientProvider } from "@tanstack/react-query";
import { Suspense } from "react";
import { Route, Switch, useLocation } from "wouter";
import { keyRefused } from "./api/key";
import { queryClient } from "./api/queries";
import { useStore } from "./api/store";
import { later } from "./components/later";
import { Empty, Loading } from "./components/states";
import { SignIn } from "./pages/SignIn";
import { Boundary } from "./shell/Boundary";
import { Shell } from "./shell/Shell";

const Playground = later(() => import("./pages/playground/Playground"));
const Evaluations = later(() => import("./pages/evaluations/Evaluations"));
const EvaluationPage = later(() => import("./pages/evaluation/EvaluationPage"));
const Compare = later(() => import("./pages/compare/Compare"));
const Monitor = later(() => import("./pages/monitor/Monitor"));
const Isolation = later(() => import("./pages/isolation/Isolation"));
const Admin = later(() => import("./pages/admin/Admin"));

function Pages() {
  const [path] = useLocation();
  const refused = useStore(keyRefused);
  if (refused && path !== "/sign-in") return <SignIn />;
  return (
    <Boundary key={path}>
      <Suspense fallback={<Loading what="the page" />}>
        <Switch>
          <Route path="/" component={Playground} />
          <Route path="/evaluations" component={Evaluations} />
          <Route path="/evaluations/:id">{({ id }) => <EvaluationPage key={id} id={id} />}</Route>
          <Route path="/compare" component={Compare} />
          <Route path="/sign-in" component={SignIn} />
          <Route path="/monitor" component={Monitor} />
          <Route path="/isolation/*?" component={Isolation} />
          <Route path="/admin/*?" component={Admin} />
          <Route>
            <Empty title="There is no such page" icon="file">
              <p>The address may be mistyped, or from another version.</p>
            </Empty>
          </Route>
        </Switch>
      </Suspense>
    </Boundary>
  );
}

export function App() {
  return (
    <QueryClientProvider client={queryClient}>
      <Shell>
        <Pages />
      </Shell>
    </QueryClientProvider>
  );
}
