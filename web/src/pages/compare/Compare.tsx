import { Empty } from "../../components/states";
import { useTitle } from "../../shell/title";

export default function Compare() {
  useTitle("Compare");
  return <Empty title="This page is being built" icon="gear" />;
}
