import { Empty } from "../../components/states";
import { useTitle } from "../../shell/title";

export default function Admin() {
  useTitle("Admin");
  return <Empty title="This page is being built" icon="gear" />;
}
