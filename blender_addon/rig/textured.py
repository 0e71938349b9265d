"""A head as a textured mesh beside its splats, which every Blender renders, lights and exports: plain Blender data.

The head's own mesh gets a material with the picture that the engine baked. Hair and clothes that stand off it come as a
second mesh of cards, which the same bones and sliders move.
"""

from __future__ import annotations

from collections.abc import Generator

import bpy
import numpy as np

from ..compat import set_normals
from .avatar_file import AvatarFile
from .axes import to_blender
from .baked import Baked
from .build import ROOT_BONE, new_mesh
from .heads import HAIR, SHOW, Head, draw_as_needed, find_head, name_parts

ROUGH, SPECULAR = 0.6, 0.3  # skin, dull enough that the light in the picture is not doubled by glints
FOLLOWED = 0.001  # m that a key moves hair, from which hair has that key too
STEPS = 255  # of skin weights: vertices with the same one are set together
LIT, UNLIT = "Lit", "Unlit"  # names of the two shaders in each material


def is_textured(head: Head) -> bool:
    """Whether a head has pictures."""
    return bool(head.mesh.data.materials)


def show(head: Head, what: str) -> None:
    """Show a head as ``SPLATS``, as ``MESH``, or as ``BOTH``: splats, under which Cycles catches the mesh's shadows."""
    head.root[SHOW] = what
    meshes = [part for part in (head.mesh, head.hair) if part is not None]
    for part in meshes:
        part.hide_render = what == "SPLATS"
        part.is_shadow_catcher = what == "BOTH"
    for modifier in head.splats.modifiers:  # what is not drawn need not be worked out at every frame
        modifier.show_viewport = modifier.show_render = what != "MESH"
    for part in head.parts[1:]:
        draw_as_needed(part)


def light(head: Head, is_lit: bool) -> None:
    """Let the scene light a head's meshes, or show their pictures as they are."""
    for part in (head.mesh, head.hair):
        for material in part.data.materials if part is not None else ():
            nodes = material.node_tree.nodes
            output, shader = nodes["Material Output"], nodes[LIT if is_lit else UNLIT]
            material.node_tree.links.new(shader.outputs[0], output.inputs["Surface"])


def is_lit(head: Head) -> bool:
    """Whether the scene lights the head's mesh; false where the artist has a material of another kind."""
    material = head.mesh.data.materials[0] if is_textured(head) else None
    output = material.node_tree.nodes.get("Material Output") if material is not None and material.node_tree else None
    links = output.inputs["Surface"].links if output is not None else ()
    return bool(links) and links[0].from_node.name == LIT


def whole(head: Head) -> Head:
    """The head with the hair that it has by now."""
    found = find_head(head.root)
    assert found is not None  # its parts are still there
    return found


def dress_steps(head: Head, baked: Baked) -> Generator[None, None, None]:
    """Give a head its pictures and hair, in pieces of less than 100 ms; what it had of them goes."""
    strip(head)
    head.mesh.data.materials.append(_material(f"{head.name}.skin", baked.picture))
    yield
    if baked.hair is not None and baked.hair_picture is not None:
        material = _material(f"{head.name}.hair", baked.hair_picture)
        yield
        yield from _add_hair(head, baked.hair, material)
    light(whole(head), True)


def strip(head: Head) -> None:
    """Take pictures and hair away."""
    old = [material for material in head.mesh.data.materials if material is not None]
    head.mesh.data.materials.clear()
    if head.hair is not None:
        data = head.hair.data
        old += [material for material in data.materials if material is not None]
        bpy.data.objects.remove(head.hair)
        if data.users == 0:
            bpy.data.meshes.remove(data)
    images = [n.image for m in old if m.users == 0 and m.node_tree for n in m.node_tree.nodes if n.type == "TEX_IMAGE"]
    bpy.data.batch_remove([material for material in old if material.users == 0])
    bpy.data.batch_remove([image for image in images if image is not None and image.users == 0])


def _material(name: str, picture: bytes) -> bpy.types.Material:
    """A picture on a surface, lit or not; which, is a matter of one link."""
    image = bpy.data.images.new(bpy.path.clean_name(name), 1, 1, alpha=True)  # exporters name its file after it
    image.pack(data=picture, data_len=len(picture))
    image.source = "FILE"
    image.filepath_raw = f"//{image.name}.png"  # its name where it is unpacked
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    texture = nodes.new("ShaderNodeTexImage")
    texture.image, texture.location = image, (-600, 200)
    lit = nodes.new("ShaderNodeBsdfPrincipled")
    lit.name = lit.label = LIT
    lit.location = (-200, 400)
    lit.inputs["Roughness"].default_value = ROUGH
    lit.inputs["Specular IOR Level"].default_value = SPECULAR
    links.new(texture.outputs["Color"], lit.inputs["Base Color"])
    links.new(texture.outputs["Alpha"], lit.inputs["Alpha"])
    glow, clear, unlit = (nodes.new(f"ShaderNode{kind}") for kind in ("Emission", "BsdfTransparent", "MixShader"))
    glow.location, clear.location, unlit.location = (-450, -200), (-450, -350), (-200, -200)
    unlit.name = unlit.label = UNLIT
    links.new(texture.outputs["Color"], glow.inputs["Color"])
    links.new(texture.outputs["Alpha"], unlit.inputs[0])
    links.new(clear.outputs[0], unlit.inputs[1])
    links.new(glow.outputs[0], unlit.inputs[2])
    output = nodes.new("ShaderNodeOutputMaterial")
    output.name, output.location = "Material Output", (150, 200)
    nodes.active = texture  # what viewports in Solid shading show
    return material


def _add_hair(head: Head, hair: AvatarFile, material: bpy.types.Material) -> Generator[None, None, None]:
    vertices = to_blender(hair.vertices)
    data = new_mesh(f"{head.name}.hair", vertices, hair)
    data.materials.append(material)
    obj = bpy.data.objects.new(data.name, data)
    obj[HAIR] = True
    yield
    middle = to_blender(hair.joint_positions)[hair.metadata["joint_names"].index("head")]
    outward = vertices - middle  # cards lit one by one would sparkle: they take the light of the ball that they cover
    outward /= np.linalg.norm(outward, axis=1, keepdims=True).clip(1e-6)
    set_normals(data, outward)
    yield
    yield from _bind_hair(hair, obj)
    yield from _hair_keys(head, hair, obj, vertices)
    obj.parent = head.root
    deform = obj.modifiers.new("Armature", "ARMATURE")
    deform.object = head.armature
    obj.visible_shadow = obj.visible_diffuse = False  # hundreds of layers would take the light from one another
    for collection in head.mesh.users_collection:
        collection.objects.link(obj)
    name_parts(whole(head))


def _bind_hair(hair: AvatarFile, obj: bpy.types.Object) -> Generator[None, None, None]:
    for column, name in enumerate((ROOT_BONE, *hair.metadata["joint_names"])):
        group = obj.vertex_groups.new(name=name)
        weights = np.rint(hair.skin_weights[:, column] * STEPS).astype(int)
        order = np.argsort(weights, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(weights[order])) + 1):
            if weight := int(weights[rows[0]]):
                group.add(rows.tolist(), weight / STEPS, "REPLACE")
        yield


def _hair_keys(
    head: Head, hair: AvatarFile, obj: bpy.types.Object, vertices: np.ndarray
) -> Generator[None, None, None]:
    """Keys that move hair noticeably; they follow the face's own, by drivers without Python in them."""
    for number, name in enumerate(hair.metadata["key_names"]):
        rows = slice(*hair.key_starts[number : number + 2])
        deltas = hair.key_deltas[rows]
        if name not in head.keys or not (np.abs(deltas) > FOLLOWED).any():
            continue
        if obj.data.shape_keys is None:
            obj.shape_key_add(name="Basis", from_mix=False)
        key = obj.shape_key_add(name=name, from_mix=False)
        own = head.keys[name]
        key.slider_min, key.slider_max = own.slider_min, own.slider_max
        moved = vertices.copy()
        moved[hair.key_vertices[rows]] += to_blender(deltas)
        key.data.foreach_set("co", moved.reshape(-1))
        driver = key.driver_add("value").driver
        driver.type = "SUM"
        source = driver.variables.new()
        source.targets[0].id_type = "KEY"
        source.targets[0].id = head.mesh.data.shape_keys
        source.targets[0].data_path = f'key_blocks["{bpy.utils.escape_identifier(name)}"].value'
        yield
