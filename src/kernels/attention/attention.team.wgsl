// A team is TEAM neighbouring lanes that share one row of headDim = 4 · PARTS · TEAM floats: lane n of
// a team holds the vec4 n, n + TEAM, n + 2 TEAM … of it, so that a team reads neighbouring vec4 at a
// time. Products of rows are summed over the team, and every lane of it gets the same bits, because
// each step adds the same two numbers in either order.
//
// Teams follow the local invocation index, which is how every implementation that we know numbers the
// lanes of a subgroup where a workgroup has one dimension; TEAM is at most the least subgroup size.

fn teamSum(part: vec4<f32>) -> f32 {
  var sum = (part.x + part.y) + (part.z + part.w);
  sum += quadSwapX(sum);
  sum += quadSwapY(sum);
  //#if TEAM_8
  sum += subgroupShuffleXor(sum, 4u);
  //#end
  return sum;
}
