import { Empty } from "../../components/states";
import { useTitle } from "../../shell/title";

export default function Isolation() {
  useTitle("Isolation");
  return <Empty title="This page is being built" icon="gear" />;
}
