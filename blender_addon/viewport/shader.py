"""The GPU programs that draw Gaussians and lay pictures over the viewport, and the textures that feed them.

Blender's Python has neither per-instance vertex buffers nor storage buffers, and a texture cannot be changed in place:
so data lie in float textures that the vertex shader reads, and what changes becomes a new texture.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import gpu
import numpy as np
from mathutils import Matrix

from ..compat import declare_depth

# gsplat 1.5.3's numbers, see docs/conventions.md
ALPHA_CAP = 0.999
ALPHA_MIN = 1.0 / 255.0
EPS2D = 0.3  # square pixels
FRUSTUM_MARGIN = 0.3  # of half the field of view
WIDTH = 2048  # texels of a data texture's row

_SPLAT_VERTEX = """
vec4 at(sampler2D data, int i) { return texelFetch(data, ivec2(i % WIDTH, i / WIDTH), 0); }

void main() {
  int g = int(at(order, gl_InstanceID).r + 0.5);
  vec4 centre = at(points, 3 * g), quat = at(points, 3 * g + 1), scale = at(points, 3 * g + 2);
  color = at(colors, g);
  int object = 3 * int(centre.w + 0.5);
  vec4 row0 = at(objects, object), row1 = at(objects, object + 1), row2 = at(objects, object + 2);
  centre.w = 1.0;
  vec3 c = vec3(dot(row0, centre), dot(row1, centre), dot(row2, centre));  /* Blender's camera looks along -z */
  bool ortho = window[3][3] == 1.0;
  depth = -c.z;
  gl_Position = vec4(0.0, 0.0, 2.0, 1.0);  /* outside, unless set below */
  uv = vec2(0.0);
  if (color.a < ALPHA_MIN || (!ortho && depth <= 0.0)) { return; }

  float w = quat.x, x = quat.y, y = quat.z, z = quat.w;
  mat3 axes = mat3(row0.x, row1.x, row2.x, row0.y, row1.y, row2.y, row0.z, row1.z, row2.z)
    * mat3(1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z), 2.0 * (x * z - w * y),
           2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + w * x),
           2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y));
  axes[0] *= scale.x; axes[1] *= scale.y; axes[2] *= scale.z;

  vec2 p = vec2(window[0][0], window[1][1]), shift = vec2(window[2][0], window[2][1]);
  vec2 focal = p * viewport * 0.5;
  vec3 ju = vec3(focal.x, 0.0, 0.0), jv = vec3(0.0, focal.y, 0.0);
  if (!ortho) {
    vec2 slope = clamp(c.xy / depth, (shift - 1.0 - FRUSTUM_MARGIN) / p, (shift + 1.0 + FRUSTUM_MARGIN) / p);
    ju = vec3(focal.x, 0.0, focal.x * slope.x) / depth;
    jv = vec3(0.0, focal.y, focal.y * slope.y) / depth;
  }
  vec3 u = ju * axes, v = jv * axes, wedge = cross(u, v);  /* the covariance is the Gram matrix of u and v */
  float uu = dot(u, u), vv = dot(v, v), xy = dot(u, v);
  float det = dot(wedge, wedge) + EPS2D * (uu + vv) + EPS2D * EPS2D;
  float xx = uu + EPS2D, yy = vv + EPS2D;
  float large = 0.5 * (xx + yy) + length(vec2(0.5 * (xx - yy), xy));
  float small = det / large;
  vec2 major = xx >= yy ? vec2(large - yy, xy) : vec2(xy, large - xx);
  float size = length(major);
  major = size > 0.0 ? major / size : vec2(1.0, 0.0);
  uv = corner * sqrt(2.0 * log(color.a / ALPHA_MIN));
  vec2 pixels = uv.x * sqrt(large) * major + uv.y * sqrt(small) * vec2(-major.y, major.x);
  gl_Position = window * vec4(c, 1.0);
  gl_Position.xy += pixels * 2.0 / viewport * gl_Position.w;
}
"""
_SPLAT_FRAGMENT = """
void main() {
  float alpha = min(color.a * exp(-0.5 * dot(uv, uv)), ALPHA_CAP);
  if (alpha < ALPHA_MIN) { discard; }
  picked = vec4(color.rgb * alpha, alpha);
  weighed = vec4(depth * alpha, 0.0, 0.0, alpha);
}
"""
_BLIT_VERTEX = "void main() { uv = corner * 0.5 + 0.5; gl_Position = vec4(corner, 0.0, 1.0); }"
# The viewport blends linear colours and encodes the sum as sRGB, but Gaussians are blended as they are displayed. For
# one backdrop both can be made equal: what is added is the wanted blend less the faded backdrop.
_BLIT_FRAGMENT = """
vec3 linear(vec3 s) {
  return mix(s / 12.92, pow((s + 0.055) / 1.055, vec3(2.4)), vec3(greaterThan(s, vec3(0.04045))));
}

void main() {
  vec4 c = texture(image, uv);
  if (c.a <= 0.0) { discard; }
  vec3 wanted = clamp(c.rgb / c.a, 0.0, 1.0) * c.a + backdrop * (1.0 - c.a);
  picked = vec4(max(linear(wanted) - linear(backdrop) * (1.0 - c.a), 0.0), c.a);
#ifdef AT_DEPTH
  float z = -texture(depths, uv).r / c.a;
  gl_FragDepth = clamp(0.5 + 0.5 * (lens.x * z + lens.y) / (lens.z * z + lens.w), 0.0, 1.0);
#endif
}
"""

_OUTLINE_FRAGMENT = """
void main() {
  float most = 0.0;
  for (int k = 0; k < 8; k++) {
    float turn = 0.785398 * float(k);
    most = max(most, texture(image, uv + reach * vec2(cos(turn), sin(turn))).a);
  }
  if (most < 0.5 || texture(image, uv).a >= 0.5) { discard; }
  picked = color;
}
"""


def _program(name, vertex, fragment, samplers, constants, varyings, outputs, defines=()) -> gpu.types.GPUShader:
    info, interface = gpu.types.GPUShaderCreateInfo(), gpu.types.GPUStageInterfaceInfo(f"gaussian_heads_{name}")
    for interpolation, kind, label in varyings:
        getattr(interface, interpolation)(kind, label)
    for label in ("WIDTH", "ALPHA_CAP", "ALPHA_MIN", "EPS2D", "FRUSTUM_MARGIN"):
        info.define(label, str(globals()[label]))
    info.vertex_in(0, "VEC2", "corner")
    info.vertex_out(interface)
    for slot, label in enumerate(samplers):
        info.sampler(slot, "FLOAT_2D", label)
    for kind, label in constants:
        info.push_constant(kind, label)  # 128 bytes in all is what every system has
    for slot, label in enumerate(outputs):
        info.fragment_out(slot, "VEC4", label)
    for label in defines:
        info.define(label, "")
    if "AT_DEPTH" in defines:
        declare_depth(info)
    info.vertex_source(vertex)
    info.fragment_source(fragment)
    return gpu.shader.create_from_info(info)


@functools.cache
def splat_program() -> gpu.types.GPUShader:
    """One instance of :func:`quad` per Gaussian, in the order of the texture ``order``."""
    return _program(
        "splat",
        _SPLAT_VERTEX,
        _SPLAT_FRAGMENT,
        samplers=("points", "colors", "objects", "order"),
        constants=(("MAT4", "window"), ("VEC2", "viewport")),
        varyings=(("smooth", "VEC2", "uv"), ("flat", "VEC4", "color"), ("flat", "FLOAT", "depth")),
        outputs=("picked", "weighed"),
    )


def _picture_program(name, fragment, samplers, constants, defines=()) -> gpu.types.GPUShader:
    """One that covers the viewport with a picture."""
    varyings, outputs = (("smooth", "VEC2", "uv"),), ("picked",)
    return _program(name, _BLIT_VERTEX, fragment, samplers, constants, varyings, outputs, defines)


@functools.cache
def blit_program() -> gpu.types.GPUShader:
    return _picture_program("blit", _BLIT_FRAGMENT, ("image",), (("VEC3", "backdrop"),))


@functools.cache
def blit_at_depth_program() -> gpu.types.GPUShader:
    constants = ("VEC3", "backdrop"), ("VEC4", "lens")
    return _picture_program("blit_at_depth", _BLIT_FRAGMENT, ("image", "depths"), constants, ("AT_DEPTH",))


@functools.cache
def outline_program() -> gpu.types.GPUShader:
    return _picture_program("outline", _OUTLINE_FRAGMENT, ("image",), (("VEC4", "color"), ("VEC2", "reach")))


@functools.cache
def quad() -> gpu.types.GPUBatch:
    """Four corners at ±1."""
    layout = gpu.types.GPUVertFormat()
    layout.attr_add(id="corner", comp_type="F32", len=2, fetch_mode="FLOAT")
    corners = gpu.types.GPUVertBuf(layout, 4)
    corners.attr_fill("corner", np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]], np.float32))
    return gpu.types.GPUBatch(type="TRI_STRIP", buf=corners)


def free() -> None:
    """Forget the programs; they are made anew where they are needed."""
    for made in (splat_program, blit_program, blit_at_depth_program, quad):
        made.cache_clear()


def data_rows(count: int) -> int:
    """Texture rows that hold ``count`` texels."""
    return max((count + WIDTH - 1) // WIDTH, 1)


def texture(values: np.ndarray, size: tuple[int, int], pixel_format: str) -> gpu.types.GPUTexture:
    """A texture of float32 values.

    Args:
        values: contiguous float32, [rows, columns] texels of one or four values. size: columns, rows.
    """
    flat = values.reshape(-1)
    return gpu.types.GPUTexture(size, format=pixel_format, data=gpu.types.Buffer("FLOAT", flat.size, flat))


def blit(
    image: gpu.types.GPUTexture,
    backdrop: Sequence[float],
    depths: gpu.types.GPUTexture | None = None,
    window: Matrix | None = None,
) -> None:
    """Lay a premultiplied sRGB picture over the viewport that is being drawn.

    Args:
        image: as large as the viewport, or stretched to it; bottom row first.
        backdrop: sRGB of what is mostly behind it; before other colours, soft edges come out a little off.
        depths: alpha-weighted distances along the view in metres; the viewport's own depth hides what lies behind it.
            None: nothing hides it.
        window: the viewport's projection, with ``depths``.
    """
    program = blit_program() if depths is None else blit_at_depth_program()
    gpu.state.blend_set("ALPHA_PREMULT")
    gpu.state.depth_mask_set(False)
    gpu.state.depth_test_set("NONE" if depths is None else "LESS_EQUAL")
    program.bind()
    program.uniform_sampler("image", image)
    program.uniform_float("backdrop", backdrop)
    if depths is not None:
        assert window is not None
        program.uniform_float("lens", (window[2][2], window[2][3], window[3][2], window[3][3]))
        program.uniform_sampler("depths", depths)
    quad().draw(program)
    gpu.state.depth_test_set("NONE")
    gpu.state.blend_set("NONE")


def outline(image: gpu.types.GPUTexture, color: Sequence[float], width: float) -> None:
    """Draw a line around what a picture covers by more than a half, as Blender does around what is selected.

    Args:
        image: as for :func:`blit`. color: sRGB. width: pixels.
    """
    program = outline_program()
    gpu.state.blend_set("ALPHA")
    gpu.state.depth_mask_set(False)
    gpu.state.depth_test_set("NONE")
    program.bind()
    program.uniform_sampler("image", image)
    program.uniform_float("color", (*(value**2.2 for value in color[:3]), 1.0))  # the viewport's colours are linear
    program.uniform_float("reach", (width / image.width, width / image.height))
    quad().draw(program)
    gpu.state.blend_set("NONE")
