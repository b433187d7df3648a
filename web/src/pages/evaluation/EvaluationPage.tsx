export default function EvaluationPage({ id }: { id: string }) {
  return <p>{id}</p>;
}
