import { Empty } from "../../components/states";
import { useTitle } from "../../shell/title";

export default function Monitor() {
  useTitle("Monitor");
  return <Empty title="This page is being built" icon="gear" />;
}
